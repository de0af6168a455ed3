"""Verdicts and reports under load."""
