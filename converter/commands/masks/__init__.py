"""Commands for mask classifiers."""
