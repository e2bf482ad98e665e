"""The commands of `edge-convert`, one module each."""
