"""What a taught part reaches on pictures it has not seen, beside its own parts and the usual baselines."""
