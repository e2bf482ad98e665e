"""The simulation: what do a few thousand devices do to brokers and database, and is anything of it lost?"""
