"""The whole pipeline: speed and soak."""
