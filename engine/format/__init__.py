"""The bits of compressed weights: layout, value generator and reference decode, below the kernels."""
