"""The picture behind an alert: how it is kept, and for how long."""
