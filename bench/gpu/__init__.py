"""What a GPU does: correctness and speed of the kernels and of the model."""
