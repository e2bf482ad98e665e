"""The configuration: what did the person on site ask for?"""
