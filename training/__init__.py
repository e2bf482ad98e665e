"""The workstation's first half: a data set becomes a Keras model."""
