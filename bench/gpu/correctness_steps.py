"""The smaller steps around the products, each kernel by itself: only a GPU runs them."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import silu

from bench.gpu.checks import CLOSE, Check
from bench.gpu.setting import Setting
from engine.format.activations import Quantized, quantize_activations
from engine.kernels.cuda.combine import combine
from engine.kernels.cuda.dispatch import Routed, dispatch
from engine.kernels.cuda.quantize import quantize, swiglu_quantize
from engine.kernels.cuda.route import route

EXPERTS, TOP_K = 64, 6
TOKENS = (1, 9, 129, 700)
HIDDEN = 2560
ROUNDED = 0.01
"""A sum over a row, or an exponential, may move a value to the next of 254 steps."""


def quantized(setting: Setting) -> Iterator[Check]:
    """Rotated and not: bit for bit."""
    for signs in (None, setting.signs(HIDDEN)):
        x = setting.normal(9, HIDDEN).float()
        found = quantize(setting.launcher, x, signs)
        expected = quantize_activations(x.cpu(), None if signs is None else signs.cpu())
        what = "plain" if signs is None else "rotated"
        yield Check(f"{what} values", found.values, expected.values)
        yield Check(f"{what} scales", found.scales, expected.scales)


def swiglu_quantized(setting: Setting) -> Iterator[Check]:
    """After SwiGLU."""
    size = 1536
    gate, up = (setting.normal(9, size).float() for _ in range(2))
    signs = setting.signs(size)
    found = swiglu_quantize(setting.launcher, gate, up, signs)
    expected = quantize_activations(silu(gate.cpu()) * up.cpu(), signs.cpu())
    yield Check("values", _values(found), _values(expected), ROUNDED)


def _values(found: Quantized) -> Tensor:
    return found.values.float() * found.scales[..., None]


def routed(setting: Setting) -> Iterator[Check]:
    """Both modalities in one launch: chosen with the bias, weighted without it."""
    hidden = 128
    router = torch.randn(2 * EXPERTS, hidden, generator=setting.draw, device=setting.device)
    bias = torch.rand(2, EXPERTS, generator=setting.draw, device=setting.device) * 0.1
    for tokens in TOKENS:
        x, kind = setting.normal(tokens, hidden).float() * 0.3, setting.whole(0, 2, tokens)
        shape = Routed(tokens, TOP_K, EXPERTS, modalities=2)
        both = x @ router.T
        experts, weights = route(setting.launcher, shape, both, bias, kind.to(torch.uint8), 1e-12)
        logits = both.unflatten(-1, (2, -1))[torch.arange(tokens, device=x.device), kind]
        probabilities = logits.softmax(-1)
        scores = probabilities + bias[kind]
        best = scores.topk(TOP_K).indices
        share = probabilities.gather(-1, best)
        found = (experts - EXPERTS * kind[:, None]).long().cpu()
        known = found.clamp(0, EXPERTS - 1)
        yield Check(f"experts of the modality, {tokens} tokens", found, known)
        different = torch.tensor([len(row.unique()) for row in known])
        yield Check(f"different experts, {tokens} tokens", different, torch.full((tokens,), TOP_K))
        # Two scores a rounding apart may change places: compared are the scores, not the experts' numbers.
        scores = scores.cpu()
        yield Check(f"scores, {tokens} tokens", scores.gather(-1, known), scores.gather(-1, best.cpu()), 1e-5)
        yield Check(f"weights, {tokens} tokens", weights, share / share.sum(-1, keepdim=True), 1e-5)


def dispatched(setting: Setting) -> Iterator[Check]:
    """A stable sort by expert, with its inverse, and every pair in one block."""
    for tokens in TOKENS:
        shape = Routed(tokens, TOP_K, EXPERTS)
        chosen = setting.chosen(tokens, TOP_K, EXPERTS).int().contiguous()
        found = dispatch(setting.launcher, shape, chosen, 8, 3)
        order = chosen.flatten().long().sort(stable=True).indices
        yield Check(f"order, {tokens} tokens", found.order, order)
        yield Check(f"places, {tokens} tokens", found.places, order.argsort())
        blocks = found.blocks.view(-1, 4)[: int(found.ranges[1])]
        yield Check(f"pairs in blocks, {tokens} tokens", blocks[:, 2].sum(), torch.tensor(shape.pairs))
        yield Check("counters", found.counters, torch.zeros(3))


def combined(setting: Setting) -> Iterator[Check]:
    """The weighted sum in the order of the experts, the shared experts' added."""
    for tokens in TOKENS:
        results = setting.normal(tokens * TOP_K, HIDDEN)
        shared, weights = setting.normal(tokens, HIDDEN), setting.weights(tokens, TOP_K)
        places = torch.randperm(tokens * TOP_K, generator=setting.draw, device=setting.device).int()
        found = combine(setting.launcher, results, places, weights, shared)
        rows = results.float()[places.long()].unflatten(0, (tokens, TOP_K))
        expected = (rows * weights[..., None]).sum(1) + shared.float()
        yield Check(f"{tokens} tokens", found.float(), expected, CLOSE)


KINDS: dict[str, Callable[[Setting], Iterator[Check]]] = {
    "quantize": quantized,
    "swiglu_quantize": swiglu_quantized,
    "route": routed,
    "dispatch": dispatched,
    "combine": combined,
}
