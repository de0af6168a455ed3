"""The demo: sample pictures from camera to report."""
