"""The console: what may people and programs see of a device, and ask of it, over HTTP? A process of its own."""
