"""How well the starter model answers."""
