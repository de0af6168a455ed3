"""The CUDA kernels as functions of torch tensors: what `engine.kernels.cpu.ops` does, with the same integers.

Everything is queued on torch's current stream. Hidden states come back in the type that they came in.
"""

from engine.kernels.cuda.experts import run_experts, run_mixture
from engine.kernels.cuda.handles import groups4, hold_experts, rows8
from engine.kernels.cuda.linear import linear

__all__ = ["groups4", "hold_experts", "linear", "rows8", "run_experts", "run_mixture"]
