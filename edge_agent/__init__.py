"""What runs on the device: camera in, MQTT alert out. Read pipeline.py first."""
