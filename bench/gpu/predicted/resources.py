"""What each CUDA kernel takes on each architecture, from its machine code: writes docs/cuda_resources.md.

    python -m bench.gpu.predicted.resources > docs/cuda_resources.md

Needs no GPU. The kernels are compiled for the sizes of the 28B model.
"""

from collections.abc import Iterator
from typing import NamedTuple

from bench.full_size.layout import CONFIG
from bench.gpu.predicted.machine_code import LIMITS, Resources, instructions_per_weight, occupancy, resources
from engine.checkpoint.config import ModelConfig
from engine.kernels.cuda.cache import CubinCache
from engine.kernels.cuda.combine import combine_launch
from engine.kernels.cuda.compiler import Unit, compile_unit, fingerprint, unit
from engine.kernels.cuda.dispatch import Routed, dispatch_launch
from engine.kernels.cuda.encode import ENCODE, encode_plan
from engine.kernels.cuda.expert_gemm import down_launch, gate_up_launch
from engine.kernels.cuda.expert_gemv import gemv_plan
from engine.kernels.cuda.handles import Sizes
from engine.kernels.cuda.launch import FEW, MANY, Launch
from engine.kernels.cuda.linear import LINEAR4, LINEAR8, linear_launch
from engine.kernels.cuda.linear_gemm import LINEAR4_MANY, LINEAR8_MANY, linear_gemm_launch
from engine.kernels.cuda.quantize import QUANTIZE, SWIGLU_QUANTIZE, quantize_launch
from engine.kernels.cuda.route import route_launch

ARCHITECTURES = tuple(LIMITS)
ELEMENT, WINDOW_BITS, MULTIPROCESSORS = "bfloat16", 16, 132
FULL = "sm_90"
"""The architecture for which every number of tokens is compiled; for the others it is the largest."""

TEXT = ModelConfig.from_json(CONFIG).text
ROUTED = Routed(2048, TEXT.experts_per_token, TEXT.num_experts)
SIZES = Sizes(TEXT.hidden_size, TEXT.text_expert_size)

INTRODUCTION = """# The CUDA kernels' resources

Written by `python -m bench.gpu.predicted.resources`; a test compares. From the machine code that NVRTC makes
for the sizes of the 28B model, in bfloat16 and with 16 window bits. None has a stack or local memory, so none
spills.

Shared memory is of a thread block, in bytes, with what the system takes of it from sm_90 on. Occupancy is the
share of a multiprocessor's warps that can be resident. Instructions are those of the loop that decodes 2-bit
weights, for each weight, with everything that is in the loop: loads, windows, decoding, products for all
tokens of the loop, addresses."""

HEADER = """| kernel | registers | shared memory | occupancy | instructions a weight |
| --- | --- | --- | --- | --- |"""


class Measured(NamedTuple):
    """A launch on an architecture: what it takes, and its instructions a weight where it decodes."""

    taken: Resources
    occupancy: float
    per_weight: float | None


def cases() -> list[Launch]:
    """Every kernel, with the largest number of tokens that it is compiled for."""
    return [
        route_launch(ROUTED.tokens, ROUTED.experts),
        dispatch_launch(ROUTED),
        combine_launch(ELEMENT, ROUTED.tokens, ROUTED.top_k, SIZES.hidden),
        quantize_launch(QUANTIZE, ELEMENT, ROUTED.tokens, SIZES.hidden),
        quantize_launch(SWIGLU_QUANTIZE, ELEMENT, ROUTED.tokens, SIZES.size),
        *by_tokens(FEW[-1], MANY[-1]),
        encode_plan(1 << 16, WINDOW_BITS, MULTIPROCESSORS).launch,
    ]


def by_tokens(few: int, many: int) -> list[Launch]:
    """The kernels that are compiled for several numbers of tokens, for these."""
    gemv = gemv_plan(ELEMENT, WINDOW_BITS, ROUTED, SIZES, block_tokens=few, multiprocessors=MULTIPROCESSORS)
    return [
        gemv.launch,
        gate_up_launch(ELEMENT, WINDOW_BITS, ROUTED, SIZES, block_tokens=many),
        down_launch(ELEMENT, WINDOW_BITS, ROUTED, SIZES, block_tokens=many),
        linear_launch(LINEAR8, ELEMENT, few, SIZES.hidden),
        linear_launch(LINEAR4, ELEMENT, few, SIZES.hidden),
        linear_gemm_launch(LINEAR8_MANY, ELEMENT, many, SIZES.hidden),
        linear_gemm_launch(LINEAR4_MANY, ELEMENT, many, SIZES.hidden),
    ]


def compiled_for(architecture: str) -> list[Launch]:
    """The launches that are looked at on an architecture."""
    return [*cases(), *by_tokens(FEW[0], MANY[0])] if architecture == FULL else cases()


def unit_of(launch: Launch, architecture: str) -> Unit:
    """What is compiled for a launch."""
    return unit(launch.kernel.source, launch.constants, architecture)


def cubin_of(unit: Unit, kept: CubinCache | None = None) -> bytes:
    """Its machine code, from the cache where it is there."""
    if kept is None:
        return compile_unit(unit).cubin
    cubin = kept.read(fingerprint(unit))
    if cubin is None:
        cubin = compile_unit(unit).cubin
        kept.write(fingerprint(unit), cubin)
    return cubin


def measured(launch: Launch, architecture: str, cubin: bytes) -> Measured:
    """What a launch takes, from the machine code of its unit."""
    taken = resources(cubin)[launch.kernel.name]
    share = occupancy(taken, launch.threads, launch.shared, LIMITS[architecture])
    decodes = launch.kernel is not ENCODE
    per_weight = instructions_per_weight(cubin, launch.kernel.name) if decodes else None
    return Measured(taken, share, per_weight)


def title(launch: Launch) -> str:
    """A kernel with the number of tokens that it is compiled for."""
    tokens = launch.constants.get("TOKENS")
    return launch.kernel.name + (f", {tokens} at once" if tokens else "")


def document() -> str:
    """The whole of docs/cuda_resources.md."""
    sections = [f"## {architecture}\n\n" + "\n".join(rows(architecture)) for architecture in ARCHITECTURES]
    return "\n\n".join((INTRODUCTION, *sections))


def rows(architecture: str) -> Iterator[str]:
    """The lines of an architecture's table."""
    yield HEADER
    cubins: dict[Unit, bytes] = {}
    for launch in compiled_for(architecture):
        of = unit_of(launch, architecture)
        if of not in cubins:
            cubins[of] = cubin_of(of)
        yield row(launch, measured(launch, architecture, cubins[of]))


def row(launch: Launch, found: Measured) -> str:
    """One line of a table."""
    shared = found.taken.shared + launch.shared
    per_weight = "-" if found.per_weight is None else f"{found.per_weight:.2f}"
    return f"| {title(launch)} | {found.taken.registers} | {shared} | {found.occupancy:.0%} | {per_weight} |"


if __name__ == "__main__":
    print(document())
