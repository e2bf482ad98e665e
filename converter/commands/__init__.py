"""Commands of `edge-convert`, one module each."""
