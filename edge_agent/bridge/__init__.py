"""The bridge: the local socket over which the console's process asks the agent."""
