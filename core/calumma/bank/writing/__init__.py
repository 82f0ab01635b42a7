"""Changes of a bank: one writer at a time, one commit each, and what was interrupted goes on where it stopped."""
