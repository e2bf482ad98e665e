"""The commands: what does a person type? Each module has NAME, SUMMARY, EXAMPLE, `add_options` and `run`."""
