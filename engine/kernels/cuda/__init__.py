"""CUDA kernels, compiled for the device at first use."""
