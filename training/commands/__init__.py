"""Commands of `edge-train`, one module each."""
