"""Configuration: model, file parsing and rendering."""
