"""The roll-out: how does a device come to the model that its fleet should run, and back where that does not do well?"""
