"""Diagnosis of the device: checks, findings and fixes."""
