"""The web: what do people and programs get to see of the fleet? In the console's design, with its parts."""
