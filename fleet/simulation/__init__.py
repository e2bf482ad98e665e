"""Simulation: load test of brokers and database with thousands of simulated devices."""
