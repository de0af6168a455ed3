"""What every process has: settings, names, logging, typed errors, a heartbeat, and how it begins and ends.

Its modules are imported by name: a program that only needs the errors does not load the settings.
"""
