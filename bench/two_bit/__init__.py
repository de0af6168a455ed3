"""The 2-bit code beside other methods."""
