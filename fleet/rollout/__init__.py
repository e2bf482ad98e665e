"""The roll-out: who may say what devices run, and how far does a new model go?"""
