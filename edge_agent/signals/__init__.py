"""Signals: lamp, buzzer and relay at the door, by GPIO."""
