"""The site: how are these documents and the reference built into one? `make docs`; nothing of it is installed."""
