"""Durable storage of alerts: crop and row are on disk before an alert is published."""
