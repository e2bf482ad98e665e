"""MQTT: how do messages reach the broker, and what comes in from it?"""
