"""Every CUDA kernel's face: its source, its constants and its arguments in their order.

The one place for that. A kernel's constants are given to the compiler as definitions.

T tokens, K input rows in B blocks of 128, N output channels, E experts of a modality, M modalities, S experts
a token, P = T S pairs of a token and one of its experts, H hidden size, I expert size, Z token blocks
"""

from typing import NamedTuple


class Argument(NamedTuple):
    """A pointer where `shape` is given, else a number; dtype "element" is the constant ELEMENT.

    A pointer to something optional may be null; what is `written` need not be initialised.
    """

    name: str
    dtype: str
    shape: str = ""
    written: bool = False
    optional: bool = False


class Kernel(NamedTuple):
    """An `extern "C"` function of a source file."""

    name: str
    source: str
    constants: tuple[str, ...]
    arguments: tuple[Argument, ...]


def _read(name: str, dtype: str, shape: str, *, optional: bool = False) -> Argument:
    return Argument(name, dtype, shape, optional=optional)


def _written(name: str, dtype: str, shape: str) -> Argument:
    return Argument(name, dtype, shape, written=True)


def _numbers(*names: str) -> tuple[Argument, ...]:
    return tuple(Argument(name, "int32") for name in names)


_VALUES = _read("values", "int8", "T B 128")
_SCALES = _read("scales", "float32", "T B")
_QUANTIZED = (_written("values", "int8", "T B 128"), _written("scales", "float32", "T B"))
_SIGNS = _read("signs", "int8", "K", optional=True)
_BLOCKS = (_read("blocks", "int32", "Z 4"), _read("range", "int32", "2"))
_GATE_UP = (
    _read("gate_up_codes", "uint8", "E 2I/128 H/4 128"),
    _read("gate_up_scales", "float16", "E 2I"),
)
_DOWN = (_read("down_codes", "uint8", "E H/128 I/4 128"), _read("down_scales", "float16", "E H"))
_DOWN_SIGNS = _read("down_signs", "int8", "I")
_INNER = (_written("inner", "int8", "P I"), _written("inner_scales", "float32", "P I/128"))

ROUTE = Kernel(
    "route",
    "route.cu",
    ("EXPERTS",),
    (
        _read("logits", "float32", "T M E"),
        _read("bias", "float32", "M E"),
        _read("modality", "uint8", "T", optional=True),
        _written("experts", "int32", "T S"),
        _written("weights", "float32", "T S"),
        *_numbers("tokens", "modalities", "top_k"),
        Argument("norm_min", "float32"),
    ),
)
"""EXPERTS is E. Experts of modality m begin at m E; without `modality` all tokens are of the first."""

DISPATCH = Kernel(
    "dispatch",
    "dispatch.cu",
    ("EXPERTS",),
    (
        _read("experts", "int32", "P"),
        _written("order", "int32", "P"),
        _written("places", "int32", "P"),
        _written("blocks", "int32", "Z 4"),
        _written("ranges", "int32", "M+1"),
        _written("counters", "int32", "C"),
        *_numbers("pairs", "modalities", "block_tokens", "counters_length"),
    ),
)
"""EXPERTS is M E. `order` names the pair at each place, sorted by expert and stable; `places` is its inverse.

A block is the expert within its modality, its first place, how many places, and the modality; those of
modality m are ranges[m] to ranges[m+1], and the expert kernels are given the address of ranges[m]. The
counters are set to zero for `expert_gemv`, which may have none.
"""

COMBINE = Kernel(
    "combine",
    "combine.cu",
    ("ELEMENT", "TOP_K"),
    (
        _read("results", "element", "P H"),
        _read("places", "int32", "T S"),
        _read("weights", "float32", "T S"),
        _read("shared", "element", "T H", optional=True),
        _written("out", "element", "T H"),
        *_numbers("hidden"),
    ),
)
"""TOP_K is S, so that a token's results are under way from memory together."""

QUANTIZE = Kernel(
    "quantize",
    "quantize.cu",
    ("ELEMENT",),
    (_read("x", "element", "T K"), _SIGNS, *_QUANTIZED, *_numbers("tokens", "rows")),
)
NORM_QUANTIZE = Kernel(
    "norm_quantize",
    "quantize.cu",
    ("ELEMENT",),
    (
        _read("x", "element", "T K"),
        _read("weight", "element", "K"),
        _SIGNS,
        _written("normed", "element", "T K"),
        *_QUANTIZED,
        *_numbers("rows"),
        Argument("eps", "float32"),
    ),
)
SWIGLU_QUANTIZE = Kernel(
    "swiglu_quantize",
    "quantize.cu",
    ("ELEMENT",),
    (
        _read("gate", "element", "T K"),
        _read("up", "element", "T K"),
        _SIGNS,
        *_QUANTIZED,
        *_numbers("tokens", "rows", "stride"),
    ),
)
"""`stride` is the distance of two tokens in `gate` and in `up`, so that both may lie in one array."""

EXPERT_GEMV = Kernel(
    "expert_gemv",
    "expert_gemv.cu",
    ("ELEMENT", "TOKENS", "WINDOW_BITS"),
    (
        *_BLOCKS,
        _read("order", "int32", "P"),
        _VALUES,
        _SCALES,
        *_GATE_UP,
        *_DOWN,
        _DOWN_SIGNS,
        _written("partials", "float32", "gemv_partials()"),
        *_INNER,
        _written("results", "element", "P H"),
        _read("counters", "int32", "gemv_counters()"),
        *_numbers("top_k", "hidden", "size", "gate_up_chunk", "down_chunk"),
    ),
)
"""TOKENS is the `block_tokens` of the dispatch, at most 8. The counters must be zero."""

EXPERT_GATE_UP = Kernel(
    "expert_gate_up",
    "expert_gemm.cu",
    ("ELEMENT", "TOKENS", "STAGES", "WINDOW_BITS"),
    (
        *_BLOCKS,
        _read("order", "int32", "P"),
        _VALUES,
        _SCALES,
        *_GATE_UP,
        _DOWN_SIGNS,
        *_INNER,
        *_numbers("top_k", "hidden", "size"),
    ),
)
EXPERT_DOWN = Kernel(
    "expert_down",
    "expert_gemm.cu",
    ("ELEMENT", "TOKENS", "STAGES", "WINDOW_BITS"),
    (
        *_BLOCKS,
        _read("inner", "int8", "P I"),
        _read("inner_scales", "float32", "P I/128"),
        *_DOWN,
        _written("results", "element", "P H"),
        *_numbers("hidden", "size"),
    ),
)
"""In both, TOKENS is the `block_tokens` of the dispatch, one of MANY."""

_BIASED = (_read("bias", "float32", "N", optional=True), _written("out", "element", "T N"))
_LINEAR8 = (
    _VALUES,
    _SCALES,
    _read("codes", "int8", "N K"),
    _read("channel_scales", "float32", "N"),
    *_BIASED,
    *_numbers("tokens", "channels", "rows"),
)
_LINEAR4 = (
    _VALUES,
    _SCALES,
    _read("codes", "uint8", "N/128 K/8 128 4"),
    _read("group_scales", "float16", "N/128 K/64 128"),
    *_BIASED,
    *_numbers("tokens", "channels", "rows"),
)
LINEAR8 = Kernel("linear8", "linear.cu", ("ELEMENT", "TOKENS"), _LINEAR8)
LINEAR4 = Kernel("linear4", "linear.cu", ("ELEMENT", "TOKENS"), _LINEAR4)
LINEAR8_MANY = Kernel("linear8_many", "linear_gemm.cu", ("ELEMENT", "TOKENS", "STAGES"), _LINEAR8)
LINEAR4_MANY = Kernel("linear4_many", "linear_gemm.cu", ("ELEMENT", "TOKENS", "STAGES"), _LINEAR4)

ENCODE = Kernel(
    "encode",
    "encode.cu",
    ("WINDOW_BITS", "SEGMENTS"),
    (
        _read("targets", "int8", "N/128 128 4"),
        _written("codes", "uint8", "N/128 128"),
        _written("scratch", "uint8", "encode_scratch()"),
        *_numbers("segments", "half_steps"),
    ),
)
"""SEGMENTS is how many segments a thread block searches at once; `half_steps` half of TARGET_STEPS."""

KERNELS = (
    ROUTE,
    DISPATCH,
    COMBINE,
    QUANTIZE,
    NORM_QUANTIZE,
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
