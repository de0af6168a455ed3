"""What can be said about the kernels without a GPU: floors of their times, and their machine code."""
