"""Web: pages and API of the fleet, in the design of the console and with its components."""
