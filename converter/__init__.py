"""The workstation's second half: a Keras model becomes a TFLite model with a card."""
