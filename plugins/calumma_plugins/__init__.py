"""Our own plugins, registered through the same entry points as anybody else's."""
