"""Readings become alerts: who is who, what do the readings agree on, who is told? Pure: no clock, threads or I/O."""
