"""The weighted sum of what the experts of each token gave."""

from torch import Tensor

from engine.kernels.cuda.launch import (
    ELEMENTS,
    FLOAT_BYTES,
    INT_BYTES,
    MOST_THREADS,
    WARP,
    Kernel,
    Launch,
    Launcher,
    Value,
    integers,
    launch_of,
    parts,
    read,
    written,
)

COMBINE = Kernel(
    "combine",
    "combine.cu",
    ("ELEMENT", "TOP_K"),
    (
        read("results", "element", "P H"),
        read("places", "int32", "T S"),
        read("weights", "float32", "T S"),
        read("shared", "element", "T H", optional=True),
        written("out", "element", "T H"),
        *integers("hidden"),
    ),
)
"""TOP_K is S, so that a token's results are under way from memory together."""


def combine_launch(element: str, tokens: int, top_k: int, hidden: int) -> Launch:
    """Each thread takes four channels; a token is one thread block's as far as that has threads."""
    threads = min(MOST_THREADS, parts(hidden, 4 * WARP) * WARP)
    shared = top_k * (INT_BYTES + FLOAT_BYTES)
    constants: dict[str, str | int] = {"ELEMENT": element, "TOP_K": top_k}
    return launch_of(COMBINE, constants, parts(hidden, 4 * threads), tokens, threads=threads, shared=shared)


def combine(
    launcher: Launcher, results: Tensor, places: Tensor, weights: Tensor, shared: Tensor | None
) -> Tensor:
    """`[T, H]`: the results `[P, H]` at a token's places, by their weights `[T, S]`, and `shared`."""
    tokens, top_k = weights.shape
    hidden = results.shape[1]
    out = results.new_empty(tokens, hidden)
    arguments: dict[str, Value] = {
        "results": results,
        "places": places,
        "weights": weights,
        "shared": shared,
        "out": out,
        "hidden": hidden,
    }
    launcher.launch(combine_launch(ELEMENTS[results.dtype], tokens, top_k, hidden), arguments)
    return out
