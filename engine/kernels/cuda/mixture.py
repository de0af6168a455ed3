"""The mixture of 2-bit experts: route, sort by expert, multiply, add up.

Everything has sizes that depend on shapes alone, so that a CUDA graph can capture it.

T tokens, S experts a token, P = T S pairs, H hidden size
"""

from torch import Tensor

from engine.kernels.cuda.combine import combine
from engine.kernels.cuda.dispatch import Routed, block_tokens_for, dispatch
from engine.kernels.cuda.expert_gemm import expert_gemm
from engine.kernels.cuda.expert_gemv import expert_gemv, plan_for
from engine.kernels.cuda.handles import HeldExperts, HeldMixture
from engine.kernels.cuda.launch import FEW
from engine.kernels.cuda.quantize import quantize
from engine.kernels.cuda.route import route


def run_experts(held: HeldExperts, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """`[T, H] -> [T, H]`: the sum of the experts `chosen` `[T, S]` by their `weights`, in ascending order."""
    if len(x) == 0:
        return x
    routed = Routed(len(x), chosen.shape[1], held.number)
    return _mix((held,), routed, x, chosen.int().contiguous(), weights.float().contiguous(), None)


def run_mixture(mixture: HeldMixture, x: Tensor, vision: Tensor | None, shared: Tensor | None) -> Tensor:
    """`[T, H] -> [T, H]`: each token through the router and the experts of its modality, `shared` added.

    `vision` `[T]` uint8 is 1 for tokens of the second modality; without it all are of the first.
    """
    if len(x) == 0:
        return x
    modalities = 1 if vision is None else len(mixture.experts)
    held = mixture.experts[:modalities]
    routed = Routed(len(x), mixture.top_k, held[0].number, modalities)
    logits = x.float() @ mixture.router[: routed.all_experts].T
    bias = mixture.bias[: routed.modalities]
    experts, weights = route(held[0].launcher, routed, logits, bias, vision, mixture.norm_min)
    return _mix(held, routed, x, experts, weights, shared)


def _mix(
    held: tuple[HeldExperts, ...],
    routed: Routed,
    x: Tensor,
    experts: Tensor,
    weights: Tensor,
    shared: Tensor | None,
) -> Tensor:
    """Quantise, sort by expert, multiply one modality after the other, and add up."""
    launcher, hidden = held[0].launcher, held[0].sizes.hidden
    assert x.shape == (routed.tokens, hidden), f"tokens of shape {tuple(x.shape)} for {hidden} rows"
    block_tokens = block_tokens_for(routed)
    is_few = block_tokens <= FEW[-1]
    plans = [plan_for(each, routed, x.dtype, block_tokens) for each in held] if is_few else []
    lengths = [plan.counters for plan in plans]
    sent = dispatch(launcher, routed, experts, block_tokens, sum(lengths))
    counters = sent.counters.split(lengths)
    results = x.new_empty(routed.pairs, hidden)
    for modality, each in enumerate(held):
        own, quantized = sent.of(modality), quantize(launcher, x, each.gate_up.signs)
        if is_few:
            own = own._replace(counters=counters[modality])
            expert_gemv(each, routed, plans[modality], own, quantized, results)
        else:
            expert_gemm(each, routed, block_tokens, own, quantized, results)
    return combine(launcher, results, sent.places, weights, shared)
