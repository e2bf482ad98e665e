"""Conversion, evaluation and release of models on the workstation."""
