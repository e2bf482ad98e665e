"""The bridge: the local socket over which other processes of the device ask the agent."""
