"""Bridge: the local socket between the agent and other processes of the device."""
