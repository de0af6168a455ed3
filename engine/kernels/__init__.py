"""Compiled kernels, each with its reference in plain Python or torch beside its users."""
