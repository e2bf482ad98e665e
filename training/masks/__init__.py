"""Mask classifier: trains a network on labelled faces."""
