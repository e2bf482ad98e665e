"""The computer that the agent runs on."""
