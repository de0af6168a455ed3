"""The mixture of 2-bit experts: route, sort by expert, multiply, add up.

Everything has sizes that depend on shapes alone, so that a CUDA graph can capture it.

T tokens, S experts a token, P = T S pairs, M modalities, H hidden size, I expert size
"""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.kernels.cuda import launches
from engine.kernels.cuda.activations import Quantized, quantize
from engine.kernels.cuda.arguments import ELEMENTS, Launcher, Value
from engine.kernels.cuda.handles import Experts, Mixture
from engine.kernels.cuda.launches import BLOCK, FEW, GemvPlan, Routed, parts


class Placed(NamedTuple):
    """Pairs of a token and an expert in the order of the experts, as `dispatch` lays them out.

    `counters` are zeros, as many as were asked for.
    """

    order: Tensor
    places: Tensor
    blocks: Tensor
    ranges: Tensor
    counters: Tensor


def run_experts(held: Experts, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """`[T, H] -> [T, H]`: the sum of the experts `chosen` `[T, S]` by their `weights`, in ascending order."""
    if len(x) == 0:
        return x
    routed = Routed(len(x), chosen.shape[1], held.number)
    experts, factors = chosen.int().contiguous(), weights.float().contiguous()
    return _mix((held,), routed, x.contiguous(), experts, factors, None)


def run_mixture(mixture: Mixture, x: Tensor, vision: Tensor | None, shared: Tensor | None) -> Tensor:
    """`[T, H] -> [T, H]`: each token through the router and the experts of its modality, `shared` added.

    `vision` `[T]` uint8 is 1 for tokens of the second modality; without it all are of the first.
    """
    if len(x) == 0:
        return x
    modalities = 1 if vision is None else len(mixture.experts)
    held = mixture.experts[:modalities]
    routed = Routed(len(x), mixture.top_k, held[0].number, modalities)
    experts, weights = route(mixture, x, vision, routed)
    return _mix(held, routed, x.contiguous(), experts, weights, shared)


def route(mixture: Mixture, x: Tensor, vision: Tensor | None, routed: Routed) -> tuple[Tensor, Tensor]:
    """The experts int32 `[T, S]` of each token, counted through all modalities, and their weights fp32."""
    logits = x.float() @ mixture.router[: routed.all_experts].T
    experts = torch.empty(routed.tokens, routed.top_k, dtype=torch.int32, device=x.device)
    weights = torch.empty(routed.tokens, routed.top_k, device=x.device)
    arguments: dict[str, Value] = {
        "logits": logits,
        "bias": mixture.bias[: routed.modalities],
        "modality": vision,
        "experts": experts,
        "weights": weights,
        "tokens": routed.tokens,
        "modalities": routed.modalities,
        "top_k": routed.top_k,
        "norm_min": mixture.norm_min,
    }
    mixture.experts[0].launcher.launch(launches.route(routed.tokens, routed.experts), arguments)
    return experts, weights


def dispatch(
    launcher: Launcher, routed: Routed, experts: Tensor, block_tokens: int, counters_length: int
) -> Placed:
    """Sort the pairs by their expert `[T, S]` and cut each expert's into blocks of at most `block_tokens`."""
    blocks = routed.most_blocks(block_tokens)
    lengths = (routed.pairs, routed.pairs, 4 * blocks, routed.modalities + 1, counters_length)
    order, places, table, ranges, counters = (
        torch.empty(length, dtype=torch.int32, device=experts.device) for length in lengths
    )
    arguments: dict[str, Value] = {
        "experts": experts,
        "order": order,
        "places": places,
        "blocks": table,
        "ranges": ranges,
        "counters": counters,
        "pairs": routed.pairs,
        "modalities": routed.modalities,
        "block_tokens": block_tokens,
        "counters_length": counters_length,
    }
    launcher.launch(launches.dispatch(routed), arguments)
    return Placed(order, places, table, ranges, counters)


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
    launcher.launch(launches.combine(ELEMENTS[results.dtype], tokens, top_k, hidden), arguments)
    return out


def _mix(
    held: tuple[Experts, ...],
    routed: Routed,
    x: Tensor,
    experts: Tensor,
    weights: Tensor,
    shared: Tensor | None,
) -> Tensor:
    """Quantise, sort by expert, multiply one modality after the other, and add up."""
    launcher, hidden = held[0].launcher, held[0].sizes.hidden
    assert x.shape == (routed.tokens, hidden), f"tokens of shape {tuple(x.shape)} for {hidden} rows"
    block_tokens = launches.expert_tokens(routed)
    plans = [_gemv_plan(each, routed, x, block_tokens) for each in held] if block_tokens <= FEW[-1] else []
    placed = dispatch(launcher, routed, experts, block_tokens, sum(plan.counters for plan in plans))
    results = x.new_empty(routed.pairs, hidden)
    cleared = 0
    for modality, each in enumerate(held):
        ranges = placed.ranges[modality:]
        quantized = quantize(launcher, x, each.gate_up[2])
        if plans:
            counters = placed.counters[cleared : cleared + plans[modality].counters]
            cleared += len(counters)
            _gemv(
                each,
                routed,
                plans[modality],
                placed._replace(ranges=ranges, counters=counters),
                quantized,
                results,
            )
        else:
            _gemm(each, routed, block_tokens, placed._replace(ranges=ranges), quantized, results)
    return combine(launcher, results, placed.places, weights, shared)


def _gemv_plan(held: Experts, routed: Routed, x: Tensor, block_tokens: int) -> GemvPlan:
    return launches.expert_gemv(
        ELEMENTS[x.dtype],
        held.window_bits,
        routed,
        held.sizes,
        block_tokens=block_tokens,
        multiprocessors=held.launcher.multiprocessors,
    )


def _gemv(
    held: Experts, routed: Routed, plan: GemvPlan, placed: Placed, quantized: Quantized, results: Tensor
) -> None:
    """Both projections for few tokens an expert, in one launch."""
    arguments: dict[str, Value] = {
        **_gathered(held, placed, quantized),
        **_down_weights(held),
        **_inner(held, routed, results.device),
        "down_signs": held.down[2],
        "partials": torch.empty(plan.partials, device=results.device),
        "counters": placed.counters,
        "results": results,
        "top_k": routed.top_k,
        "hidden": held.sizes.hidden,
        "size": held.sizes.size,
        "gate_up_chunk": plan.gate_up_chunk,
        "down_chunk": plan.down_chunk,
    }
    held.launcher.launch(plan.launch, arguments)


def _gemm(
    held: Experts, routed: Routed, block_tokens: int, placed: Placed, quantized: Quantized, results: Tensor
) -> None:
    """Gates and ups with SwiGLU, then down, for many tokens an expert."""
    element, inner = ELEMENTS[results.dtype], _inner(held, routed, results.device)
    sizes: dict[str, Value] = {"hidden": held.sizes.hidden, "size": held.sizes.size}
    up: dict[str, Value] = {
        **_gathered(held, placed, quantized),
        **inner,
        **sizes,
        "down_signs": held.down[2],
        "top_k": routed.top_k,
    }
    launch = launches.expert_gate_up(element, held.window_bits, routed, held.sizes, block_tokens=block_tokens)
    held.launcher.launch(launch, up)
    down: dict[str, Value] = {
        **_down_weights(held),
        **inner,
        **sizes,
        "blocks": placed.blocks,
        "range": placed.ranges,
        "results": results,
    }
    launch = launches.expert_down(element, held.window_bits, routed, held.sizes, block_tokens=block_tokens)
    held.launcher.launch(launch, down)


def _gathered(held: Experts, placed: Placed, quantized: Quantized) -> dict[str, Value]:
    return {
        "blocks": placed.blocks,
        "range": placed.ranges,
        "order": placed.order,
        "values": quantized.values,
        "scales": quantized.scales,
        "gate_up_codes": held.gate_up[0],
        "gate_up_scales": held.gate_up[1],
    }


def _down_weights(held: Experts) -> dict[str, Value]:
    return {"down_codes": held.down[0], "down_scales": held.down[1]}


def _inner(held: Experts, routed: Routed, device: torch.device) -> dict[str, Value]:
    """Room for what the gates and ups give: int8 `[P, I]` with its scales."""
    size = held.sizes.size
    return {
        "inner": torch.empty(routed.pairs, size, dtype=torch.int8, device=device),
        "inner_scales": torch.empty(routed.pairs, parts(size, BLOCK), device=device),
    }
