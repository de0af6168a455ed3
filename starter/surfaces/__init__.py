"""Synthetic surfaces with defects."""
