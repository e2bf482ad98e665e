"""Mask classifiers: converts Keras models to TFLite files with their cards."""
