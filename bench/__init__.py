"""Measurements against named peers and limits."""

import engine.process  # noqa: F401 - before torch is loaded
