"""Mask classifiers: from a Keras model to a TFLite file with its card."""
