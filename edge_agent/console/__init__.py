"""Console: web pages and HTTP API of the device, in a process of its own."""
