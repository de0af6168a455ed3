"""The 28B model's layout at full size."""
