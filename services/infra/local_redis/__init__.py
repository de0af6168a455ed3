"""A Redis server of our own, for one machine."""
