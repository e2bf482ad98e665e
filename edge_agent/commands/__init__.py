"""The commands of edge-agent, one module each: its options, its work, its output."""
