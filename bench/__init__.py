"""Measurements against named peers and limits."""
