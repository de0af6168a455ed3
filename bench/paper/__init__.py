"""What the CUDA kernels can do at most, on paper, and what their machine code takes."""
