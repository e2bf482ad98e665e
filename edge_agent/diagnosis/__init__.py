"""The diagnosis: what is wrong with this device, and what mends it?"""
