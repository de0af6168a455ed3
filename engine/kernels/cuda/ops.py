"""The CUDA kernels as functions of torch tensors: what `engine.kernels.cpu.ops` does, with the same integers.

Everything is queued on torch's current stream. Hidden states come back in the type that they came in.
"""

from engine.kernels.cuda.combine import COMBINE
from engine.kernels.cuda.dense import feed_forward, linear, linears
from engine.kernels.cuda.dispatch import DISPATCH
from engine.kernels.cuda.encode import ENCODE
from engine.kernels.cuda.expert_gemm import EXPERT_DOWN, EXPERT_GATE_UP
from engine.kernels.cuda.expert_gemv import EXPERT_GEMV
from engine.kernels.cuda.handles import groups4, hold_experts, rows8
from engine.kernels.cuda.linear import LINEAR4, LINEAR8
from engine.kernels.cuda.linear_gemm import LINEAR4_MANY, LINEAR8_MANY
from engine.kernels.cuda.mixture import run_experts, run_mixture
from engine.kernels.cuda.quantize import QUANTIZE, SWIGLU_QUANTIZE
from engine.kernels.cuda.route import ROUTE

__all__ = [
    "KERNELS",
    "feed_forward",
    "groups4",
    "hold_experts",
    "linear",
    "linears",
    "rows8",
    "run_experts",
    "run_mixture",
]

KERNELS = (
    ROUTE,
    DISPATCH,
    COMBINE,
    QUANTIZE,
    SWIGLU_QUANTIZE,
    EXPERT_GEMV,
    EXPERT_GATE_UP,
    EXPERT_DOWN,
    LINEAR8,
    LINEAR4,
    LINEAR8_MANY,
    LINEAR4_MANY,
    ENCODE,
)
"""Every kernel that there is a source for."""
