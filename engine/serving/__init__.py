"""Requests, their order, and the one thread that computes them."""
