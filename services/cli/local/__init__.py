"""A whole Lynceus on one machine: its processes, and what they need."""
