"""Console: web pages and HTTP API of the device, in its own process."""
