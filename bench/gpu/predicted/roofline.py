"""How fast the CUDA kernels can be at most, on paper: writes docs/roofline.md.

    python -m bench.gpu.predicted.roofline > docs/roofline.md

T tokens, P pairs of a token and one of its experts, K input rows, N output channels, L window bits
"""

import math
from collections.abc import Iterable, Sequence

from bench.full_size.layout import CONFIG
from bench.gpu.predicted import around
from bench.gpu.predicted.around import H100, Shape
from bench.gpu.predicted.devices import DEVICES, Device, Floor, Work
from bench.gpu.targets import GEMM_PEAK, GEMV_BANDWIDTH, TARGETS
from engine.checkpoint.config import ModelConfig
from engine.format.layout import ROWS_PER_BYTE, SEGMENT
from engine.kernels.cuda.dispatch import Routed
from engine.kernels.cuda.launch import MANY

MODEL = ModelConfig.from_json(CONFIG)
TEXT, VISION = MODEL.text, MODEL.vision
SPARSE_LAYERS = sum(TEXT.sparse_layers)
RECIPE_TOKENS, SIDE = 60, 448
PATCHES = (SIDE // VISION.patch_size) ** 2
IMAGE_TOKENS = PATCHES // VISION.spatial_merge_size**2 + 2
"""Of one frame, with the marks of its start and end, which the vision experts serve as well."""

HALF = 2
"""Bytes of a hidden state."""

BITS_ELSEWHERE = 4.25
"""Four bits and a scale of 16 bits for each 64 weights."""

DECODE = Work(integer=6 / ROWS_PER_BYTE, multiply=2 / ROWS_PER_BYTE)
"""A weight's share of turning a byte into four values, by the format's definition: the window, two shifts, an
exclusive or and two masks; a multiplication and a sum, which compilers give to the multipliers as well."""

DOT = Work(multiply=1 / ROWS_PER_BYTE)
"""A weight's share of one dot product of four bytes."""

SEARCH = {
    16: Work(integer=42 / 16, multiply=50 / 16, others=6 / 16),
    18: Work(integer=42 / 16, multiply=50 / 16, others=6 / 16),
    20: Work(integer=30 / 8, multiply=34 / 8, others=6 / 8),
}
"""One way into one state, of one segment, by window bits: counted in the machine code of `encode` for sm_90.

Its inner loop does four windows for four segments, with 20 bits for two: dot products and multiplications;
shifts, logic, additions and comparisons; loads from shared memory and the loop itself.
"""


def experts_hit(tokens: int) -> float:
    """How many of the experts of a modality serve some of that many tokens, if each draws at random."""
    return TEXT.num_experts * (1 - (1 - TEXT.experts_per_token / TEXT.num_experts) ** tokens)


def expert_weights(size: int) -> int:
    """Weights of one expert."""
    return 3 * TEXT.hidden_size * size


def stored(size: int) -> float:
    """Bytes of one expert: two bits a weight, and a scale of two bytes a channel."""
    return expert_weights(size) * 2 / 8 + (2 * size + TEXT.hidden_size) * HALF


def pairs(tokens: int) -> int:
    """Pairs of a token and one of its experts."""
    return tokens * TEXT.experts_per_token


def experts_few(tokens: int, size: int) -> Work:
    """`expert_gemv`: each byte decoded once, and a dot product for each token that shares it."""
    hit = experts_hit(tokens)
    weights = hit * expert_weights(size)
    moved = hit * stored(size) + tokens * TEXT.hidden_size + pairs(tokens) * TEXT.hidden_size * HALF
    return Work(bytes=moved) + DECODE * weights + DOT * (pairs(tokens) * expert_weights(size))


def experts_many(tokens: int, size: int) -> Work:
    """`expert_gate_up` and `expert_down`: each byte decoded once for every block of tokens."""
    hit = experts_hit(tokens)
    blocks = hit * math.ceil(pairs(tokens) / hit / MANY[-1])
    inner = pairs(tokens) * size
    moved = hit * stored(size) + tokens * TEXT.hidden_size + 2 * inner
    moved += pairs(tokens) * TEXT.hidden_size * HALF
    products = Work(bytes=moved, tensor=2 * pairs(tokens) * expert_weights(size))
    return products + DECODE * (blocks * expert_weights(size))


def linear4(tokens: int, rows: int, channels: int) -> Work:
    """`linear4`: the weights, and states in and out."""
    return nibbles(tokens, rows * channels) + Work(bytes=tokens * (rows + channels * HALF))


def nibbles(tokens: int, weights: int) -> Work:
    """Weights of 4 bits: a mask or a shift, and a dot product a token, for each four."""
    unpacked = Work(bytes=BITS_ELSEWHERE / 8, integer=1.5 / ROWS_PER_BYTE) * weights
    return unpacked + DOT * (tokens * weights)


def linear8(tokens: int, rows: int, channels: int) -> Work:
    """`linear8`: a dot product a token for each four weights."""
    moved = rows * channels + channels * 4 + tokens * (rows + channels * HALF)
    return Work(bytes=moved) + DOT * (tokens * rows * channels)


def route(tokens: int) -> Work:
    """`route`: logits in, experts and weights out."""
    return Work(bytes=tokens * (2 * TEXT.num_experts + 2 * TEXT.experts_per_token) * 4)


def dispatch(tokens: int) -> Work:
    """`dispatch`: expert numbers in, the order and its inverse out."""
    return Work(bytes=3 * pairs(tokens) * 4)


def combine(tokens: int) -> Work:
    """`combine`: a result for each pair and the shared experts' in, one sum a token out."""
    return Work(bytes=(pairs(tokens) + 2 * tokens) * TEXT.hidden_size * HALF)


def quantize(tokens: int) -> Work:
    """`quantize`: states in, their int8 out."""
    return Work(bytes=tokens * TEXT.hidden_size * (HALF + 1 + 4 / SEGMENT))


def swiglu_quantize(tokens: int, size: int) -> Work:
    """`swiglu_quantize`: gate and up in, int8 out."""
    return Work(bytes=tokens * size * (2 * HALF + 1 + 4 / SEGMENT))


def encode(weights: float, window_bits: int) -> Work:
    """`encode`: two passes over every byte, each window tried once; the memory traffic is small beside it."""
    return SEARCH[window_bits] * (weights / ROWS_PER_BYTE * 2 * (1 << window_bits))


def elsewhere() -> int:
    """Weights of the decoder that are neither routed experts nor the head."""
    attention = 2 * TEXT.hidden_size * (TEXT.num_heads + TEXT.num_kv_heads) * TEXT.head_dim
    shared = 3 * TEXT.hidden_size * TEXT.num_shared_experts * TEXT.text_expert_size
    dense = 3 * TEXT.hidden_size * TEXT.intermediate_size
    return TEXT.num_layers * attention + SPARSE_LAYERS * shared + (TEXT.num_layers - SPARSE_LAYERS) * dense


def routed() -> int:
    """Weights of all routed experts of the 28B model."""
    sizes = TEXT.text_expert_size + TEXT.vision_expert_size
    return SPARSE_LAYERS * TEXT.num_experts * expert_weights(sizes)


def vision_weights() -> int:
    """Weights of the vision tower's layers."""
    return VISION.depth * VISION.hidden_size * (4 * VISION.hidden_size + 2 * VISION.intermediate_size)


def writing(streams: int) -> Work:
    """A step of so many reports: their experts, everything else, and the head."""
    others = nibbles(streams, elsewhere())
    head = linear8(streams, TEXT.hidden_size, TEXT.vocab_size)
    return experts_few(streams, TEXT.text_expert_size) * SPARSE_LAYERS + others + head


def verdicts(count: int) -> Work:
    """A batch of verdicts, products on the tensor cores; attention and the head's few rows left out."""
    words, pictures = count * RECIPE_TOKENS, count * IMAGE_TOKENS
    experts = experts_many(words, TEXT.text_expert_size) + experts_many(pictures, TEXT.vision_expert_size)
    rest = Work(
        bytes=(elsewhere() + vision_weights()) * BITS_ELSEWHERE / 8,
        tensor=2 * ((words + pictures) * elsewhere() + count * PATCHES * vision_weights()),
    )
    return experts * SPARSE_LAYERS + rest


def kernels() -> dict[str, Work]:
    """The kernels at the sizes of the 28B model."""
    text, vision, hidden = TEXT.text_expert_size, TEXT.vision_expert_size, TEXT.hidden_size
    return {
        "expert_gemv, text, 1 token": experts_few(1, text),
        "expert_gemv, text, 8 tokens": experts_few(8, text),
        "expert_gemv, vision, 8 tokens": experts_few(8, vision),
        "expert_gate_up + expert_down, text, 256 tokens": experts_many(256, text),
        "expert_gate_up + expert_down, text, 2048 tokens": experts_many(2048, text),
        "expert_gate_up + expert_down, vision, 2048 tokens": experts_many(2048, vision),
        "linear4, hidden to 12288, 1 token": linear4(1, hidden, TEXT.intermediate_size),
        "linear8, the head, 1 token": linear8(1, hidden, TEXT.vocab_size),
        "quantize, 2048 tokens": quantize(2048),
        "swiglu_quantize, size 12288, 2048 tokens": swiglu_quantize(2048, TEXT.intermediate_size),
        "route, 2048 tokens": route(2048),
        "dispatch, 2048 tokens": dispatch(2048),
        "combine, 2048 tokens": combine(2048),
        "encode, a matrix 3072 x 2560, L = 16": encode(2 * text * hidden, 16),
    }


def wholes() -> dict[str, Work]:
    """What a user waits for."""
    return {
        "a step of 1 report": writing(1),
        "a step of 8 reports": writing(8),
        "1 verdict": verdicts(1),
        "32 verdicts": verdicts(32),
        "encoding 28B, L = 16": encode(routed(), 16),
        "encoding 28B, L = 18": encode(routed(), 18),
        "encoding 28B, L = 20": encode(routed(), 20),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def shapes_around() -> list[Shape]:
    """Numbers of tokens at which `dispatch` and `combine` are looked at."""
    few = [_shape(f"text, {tokens}", tokens, TEXT.text_expert_size) for tokens in (1, 8, 32)]
    sizes = {"text": TEXT.text_expert_size, "vision": TEXT.vision_expert_size}
    return few + [_shape(f"{name}, 2048", 2048, size) for name, size in sizes.items()]


def _shape(name: str, tokens: int, size: int) -> Shape:
    work = experts_few(tokens, size) if tokens <= 32 else experts_many(tokens, size)
    share = _bound(GEMM_PEAK if work.tensor else GEMV_BANDWIDTH)
    at_peak = work.tensor / H100.int8 / 1e12 if work.tensor else work.bytes / H100.bandwidth / 1e9
    floor = Floor.of(work, H100).seconds
    memory = Floor.of(combine(tokens), H100).seconds
    routed = Routed(tokens, TEXT.experts_per_token, TEXT.num_experts, modalities=2)
    return Shape(name, routed, floor, max(floor, at_peak / (share / 100)), memory)


def _bound(target: str) -> float:
    return next(each.bound for each in TARGETS if each.name == target)


UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


def duration(seconds: float) -> str:
    """In three digits and a fitting unit."""
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    scale, unit = next((each for each in UNITS if seconds >= each[0]), UNITS[-1])
    return f"{seconds / scale:.3g} {unit}"


def count(number: float) -> str:
    """In three digits and powers of a thousand."""
    if number < 1000:
        return f"{number:.3g}" if number else "-"
    power = min(int(math.log10(number) // 3), 6)
    return f"{number / 1000**power:.3g} {'kMGTPE'[power - 1]}"


def device_table() -> str:
    """The four GPUs and where their figures come from."""
    head = ("GPU", "architecture", "SMs", "GHz", "memory", "GB/s", "int8 TOPS", "bf16 TFLOPS", "source")
    return table(head, (_device_row(device) for device in DEVICES))


def _device_row(device: Device) -> tuple[str, ...]:
    rates = (device.bandwidth, device.int8, device.bf16)
    figures = (str(device.multiprocessors), f"{device.clock:g}", f"{device.memory} GB")
    return (device.name, device.architecture, *figures, *(f"{rate:g}" for rate in rates), device.source)


def work_table(works: dict[str, Work]) -> str:
    """What each has to do."""
    head = ("", "bytes", "int8 operations", "integer", "multiplications", "instructions")
    return table(
        head,
        (
            (name, *map(count, (w.bytes, w.tensor, w.integer, w.multiply, w.instructions)))
            for name, w in works.items()
        ),
    )


def floor_table(works: dict[str, Work]) -> str:
    """The least time on each GPU, and what sets it."""
    head = ("", *(device.name for device in DEVICES))
    return table(head, ((name, *(_floor(work, each) for each in DEVICES)) for name, work in works.items()))


def _floor(work: Work, device: Device) -> str:
    floor = Floor.of(work, device)
    return f"{duration(floor.seconds)} ({floor.limit})"


TEXT_OF_PAGE = """\
# Roofline: the least time the CUDA kernels can take

Written by `python -m bench.gpu.predicted.roofline`; a test compares. Nothing here is measured. A floor is the
largest of four times: bytes at the memory's bandwidth, int8 operations at the tensor cores' peak, integer
operations at 64 lanes a clock and multiprocessor (multiplications and dot products likewise, beside them),
and all instructions at 128. What one limit leaves free is taken to be hidden behind it, which no real kernel
manages.

## The GPUs

{devices}

Figures are the maker's peaks without sparsity, at the boost clock. `mma.sync`, which the kernels use so that
one source serves all four, does not reach the full rate of Hopper's tensor cores (Luo et al. 2024,
arXiv 2402.13499): where they set the floor on an H100, it promises more than can be had.

## The kernels at the sizes of the 28B model

Work: each byte of memory once; instructions by lane. Decoding four weights takes six integer operations and
two on the multipliers, by the format's definition; what else a loop needs (addresses, loads, sums in fp32) is
left out, except for `encode`, which is counted in its machine code.

{work}

Floors:

{floors}

## Dispatch and combine beside the experts, on an H100

Wanted: both together at most 5 % of a layer. Microseconds, without launches. `dispatch` is one thread block
and bound by latency: two walks over the pairs, of which up to 32 warps each take a share in steps of 32. A
load takes {load} clocks, shared memory {shared} and the sums between the walks {scan}, all assumed;
instructions are counted. Experts "as wanted" are at {gemv:g} % of the memory's bandwidth for few tokens, at
{gemm:g} % of the int8 peak for many.

{around}

One block is enough: at 2,048 tokens it is the smaller part, and several blocks would need a second launch,
or wait for one another, for some three microseconds at most. `combine` is bound by memory, and by memory
alone it takes more than 5 % of the experts: a result of 16 bits for each pair is written by `expert_down`
and read once. The cache of 50 MB holds a part of these 63 MB, so that less may come from memory; the target
cannot be promised from here, and for the vision experts, with a third of the products for the same results,
it is missed. To add up where the results are made would need either sums in whatever order thread blocks
end, and so other bits each time, or waiting for a token's last expert at the end of every tile. For few
tokens both are a few dependent loads each; for one token 5 % would be less than two of them.

## What a user waits for

{whole_work}

{whole_floors}

A step of one report reads the weights of six text experts in {layers} layers, everything else at {bits} bits
and the head at 8. A verdict is {words} words and one frame of {side} x {side}, {image} tokens; attention is
left out.
"""


def page() -> str:
    """The text of docs/roofline.md."""
    return TEXT_OF_PAGE.format(
        devices=device_table(),
        work=work_table(kernels()),
        floors=floor_table(kernels()),
        around=table(around.HEAD, around.rows(shapes_around())),
        load=around.LOAD,
        shared=around.SHARED,
        scan=around.SCAN,
        gemv=_bound(GEMV_BANDWIDTH),
        gemm=_bound(GEMM_PEAK),
        whole_work=work_table(wholes()),
        whole_floors=floor_table(wholes()),
        layers=SPARSE_LAYERS,
        bits=BITS_ELSEWHERE,
        words=RECIPE_TOKENS,
        side=SIDE,
        image=IMAGE_TOKENS,
    )


def main() -> None:
    """Print the page."""
    print(page(), end="")


if __name__ == "__main__":
    main()
