"""Training: trains Keras models from data sets, on the workstation."""
