"""The diagnosis: what is wrong with this device, and what fixes it?"""
