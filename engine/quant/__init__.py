"""Compressed weights: how they are laid out, encoded and decoded."""
