"""Roll-out: signs what devices should run, and releases a new model in stages."""
