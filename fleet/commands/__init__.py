"""Commands of `maskwatch-fleet`. Each module has NAME, SUMMARY, EXAMPLE, `add_options` and `run(config, options)`."""
