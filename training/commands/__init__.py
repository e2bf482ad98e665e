"""The commands of `edge-train`, one module each."""
