"""Training the face finder."""
