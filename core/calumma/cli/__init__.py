"""The command: one verb, one file."""
