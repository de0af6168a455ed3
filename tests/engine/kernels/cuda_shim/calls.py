"""The CUDA kernels as functions of tensors, run on the CPU: each makes the arrays that a launch needs."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from engine.kernels.cuda import launches
from engine.kernels.cuda.launches import Launch, Routed, Sizes
from tests.engine.kernels.cuda_shim.harness import ELEMENTS, Given, Shim

NAMES = {dtype: name for name, dtype in ELEMENTS.items()}
"""The sources' names of the types of hidden states."""


def _bytes(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.int8)


def _ints(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.int32)


class Dispatched(NamedTuple):
    """What `dispatch` wrote."""

    order: Tensor
    places: Tensor
    blocks: Tensor
    ranges: Tensor
    counters: Tensor


def dispatch(shim: Shim, experts: Tensor, routed: Routed, block_tokens: int, counters: int = 5) -> Dispatched:
    """Sort experts `[T, S]`, numbered over all modalities."""
    found = shim.run(
        launches.dispatch(routed),
        {
            "experts": experts.int().flatten(),
            "order": _ints(routed.pairs),
            "places": _ints(routed.pairs),
            "blocks": _ints(routed.most_blocks(block_tokens), 4),
            "ranges": _ints(routed.modalities + 1),
            "counters": _ints(counters),
            "pairs": routed.pairs,
            "modalities": routed.modalities,
            "block_tokens": block_tokens,
            "counters_length": counters,
        },
    )
    return Dispatched(*(found[name] for name in Dispatched._fields))


def combine(shim: Shim, results: Tensor, places: Tensor, weights: Tensor, shared: Tensor | None) -> Tensor:
    """`[T, H]` of results `[P, H]`, places and weights `[T, S]`."""
    tokens, top_k, hidden = *weights.shape, results.shape[1]
    found = shim.run(
        launches.combine(NAMES[results.dtype], tokens, top_k, hidden),
        {
            "results": results,
            "places": places.int(),
            "weights": weights,
            "shared": shared,
            "out": torch.empty(tokens, hidden, dtype=results.dtype),
            "hidden": hidden,
        },
    )
    return found["out"]


class Quantized(NamedTuple):
    """Values int8 `[T, B, 128]` and scales `[T, B]`."""

    values: Tensor
    scales: Tensor


def _quantized(tokens: int, rows: int) -> dict[str, Tensor]:
    blocks = launches.parts(rows, launches.BLOCK)
    return {"values": _bytes(tokens, blocks, launches.BLOCK), "scales": torch.empty(tokens, blocks)}


def quantize(shim: Shim, x: Tensor, signs: Tensor | None = None) -> Quantized:
    """Activations `[T, K]`, rotated where there are signs."""
    tokens, rows = x.shape
    found = shim.run(
        launches.quantize(NAMES[x.dtype], tokens, rows),
        {"x": x, "signs": signs, **_quantized(tokens, rows), "tokens": tokens, "rows": rows},
    )
    return Quantized(found["values"], found["scales"])


def swiglu_quantize(shim: Shim, gate_up: Tensor, signs: Tensor | None = None) -> Quantized:
    """The same of `[T, 2K]`, the gates first: the ups begin in the middle of the same array."""
    tokens, rows = len(gate_up), gate_up.shape[1] // 2
    found = shim.run(
        launches.swiglu_quantize(NAMES[gate_up.dtype], tokens, rows),
        {
            "gate": gate_up,
            "up": gate_up.flatten()[rows:],
            "signs": signs,
            **_quantized(tokens, rows),
            "tokens": tokens,
            "rows": rows,
            "stride": 2 * rows,
        },
    )
    return Quantized(found["values"], found["scales"])


def norm_quantize(
    shim: Shim, x: Tensor, weight: Tensor, signs: Tensor | None, eps: float
) -> tuple[Tensor, Quantized]:
    """The normalised activations, and what became of them."""
    tokens, rows = x.shape
    found = shim.run(
        launches.norm_quantize(NAMES[x.dtype], tokens, rows),
        {
            "x": x,
            "weight": weight,
            "signs": signs,
            "normed": torch.empty_like(x),
            **_quantized(tokens, rows),
            "rows": rows,
            "eps": eps,
        },
    )
    return found["normed"], Quantized(found["values"], found["scales"])


class Coded(NamedTuple):
    """Codes `[E, N/128, K/4, 128]`, scales fp16 `[E, N]` and signs int8 `[K]` of one projection."""

    codes: Tensor
    scales: Tensor
    signs: Tensor


class Layer(NamedTuple):
    """The experts of one modality."""

    gate_up: Coded
    down: Coded
    window_bits: int
    element: torch.dtype = torch.float32
    """The type of the results."""

    @property
    def sizes(self) -> Sizes:
        """Hidden size and expert size."""
        return Sizes(len(self.gate_up.signs), len(self.down.signs))

    @property
    def weights(self) -> dict[str, Tensor]:
        """The kernels' arguments."""
        return {
            "gate_up_codes": self.gate_up.codes,
            "gate_up_scales": self.gate_up.scales,
            "down_codes": self.down.codes,
            "down_scales": self.down.scales,
            "down_signs": self.down.signs,
        }


class Inner(NamedTuple):
    """Between gate and up and down: values int8 `[P, I]` and scales `[P, I/128]`; and results `[P, H]`."""

    values: Tensor
    scales: Tensor
    results: Tensor


def _work(layer: Layer, routed: Routed) -> dict[str, Tensor]:
    size = layer.sizes.size
    return {
        "inner": _bytes(routed.pairs, size),
        "inner_scales": torch.empty(routed.pairs, size // launches.BLOCK),
    }


def expert_gemv(
    shim: Shim,
    layer: Layer,
    input_: Quantized,
    experts: Tensor,
    routed: Routed,
    *,
    block_tokens: int,
    multiprocessors: int,
    modality: int = 0,
) -> tuple[Dispatched, Inner]:
    """Dispatch and run the experts of a modality."""
    plan = launches.expert_gemv(
        NAMES[layer.element],
        layer.window_bits,
        routed,
        layer.sizes,
        block_tokens=block_tokens,
        multiprocessors=multiprocessors,
    )
    sent = dispatch(shim, experts, routed, block_tokens, plan.counters)
    found = shim.run(
        plan.launch,
        {
            "blocks": sent.blocks,
            "range": sent.ranges[modality : modality + 2],
            "order": sent.order,
            "values": input_.values,
            "scales": input_.scales,
            **layer.weights,
            "partials": torch.empty(plan.partials),
            **_work(layer, routed),
            "results": torch.empty(routed.pairs, layer.sizes.hidden, dtype=layer.element),
            "counters": sent.counters,
            "top_k": routed.top_k,
            **layer.sizes._asdict(),
            "gate_up_chunk": plan.gate_up_chunk,
            "down_chunk": plan.down_chunk,
        },
    )
    return sent, Inner(found["inner"], found["inner_scales"], found["results"])


def expert_gemm(
    shim: Shim,
    layer: Layer,
    input_: Quantized,
    experts: Tensor,
    routed: Routed,
    *,
    block_tokens: int,
    modality: int = 0,
) -> tuple[Dispatched, Inner]:
    """Dispatch and run the experts of a modality."""
    sent = dispatch(shim, experts, routed, block_tokens)
    blocks = {"blocks": sent.blocks, "range": sent.ranges[modality : modality + 2]}
    shape = (NAMES[layer.element], layer.window_bits, routed, layer.sizes)
    inner = _run_named(
        shim,
        launches.expert_gate_up(*shape, block_tokens=block_tokens),
        {
            **blocks,
            "order": sent.order,
            "values": input_.values,
            "scales": input_.scales,
            **layer.weights,
            **_work(layer, routed),
            "top_k": routed.top_k,
            **layer.sizes._asdict(),
        },
    )
    down = _run_named(
        shim,
        launches.expert_down(*shape, block_tokens=block_tokens),
        {
            **blocks,
            "inner": inner["inner"],
            "inner_scales": inner["inner_scales"],
            **layer.weights,
            "results": torch.empty(routed.pairs, layer.sizes.hidden, dtype=layer.element),
            **layer.sizes._asdict(),
        },
    )
    return sent, Inner(inner["inner"], inner["inner_scales"], down["results"])


def _run_named(shim: Shim, launch: Launch, given: Mapping[str, Given]) -> dict[str, Tensor]:
    """Run the kernel with those of the values that it asks for."""
    return shim.run(launch, {argument.name: given[argument.name] for argument in launch.kernel.arguments})


def linear(
    shim: Shim,
    launch: Launch,
    input_: Quantized,
    codes: Tensor,
    scales: Tensor,
    shape: tuple[int, int],
    bias: Tensor | None,
) -> Tensor:
    """`[T, N]` of a weight `[N, K]` in 8 or 4 bits."""
    tokens, (channels, rows) = len(input_.values), shape
    element = ELEMENTS[launch.constants["ELEMENT"]]
    return _run_named(
        shim,
        launch,
        {
            "values": input_.values,
            "scales": input_.scales,
            "codes": codes,
            "channel_scales": scales,
            "group_scales": scales,
            "bias": bias,
            "out": torch.empty(tokens, channels, dtype=element),
            "tokens": tokens,
            "channels": channels,
            "rows": rows,
        },
    )["out"]
