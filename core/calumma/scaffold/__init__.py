"""Writes a new plugin distribution that passes its own tests, lint and types as written."""
