"""Readings to alerts: tracking, sequential test, liveness, rules and people counts. No clock, threads or I/O."""
