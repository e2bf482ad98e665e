"""Readings become alerts: who is who, what do the readings agree on, what is alerted? No clock, threads or I/O."""
