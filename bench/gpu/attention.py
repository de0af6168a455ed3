"""Which of torch's kernels computes the attention of each kind of pass: torch chooses, by its own rules."""

from collections.abc import Callable, Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from bench.gpu.setting import Setting
from engine.model.cache import KVPool
from engine.model.network import ErnieVL
from engine.serving import forward
from engine.serving.executor import blocks_for
from engine.serving.forward import Chunk

PREFIX = "aten::_scaled_dot_product_"
STEPWISE = "attention_math"
"""Torch's name for what no fused kernel takes."""

NEW = 5
"""Tokens behind a prompt, or nodes of a tree of answers."""

WORDS = 100


def served(call: Callable[[], object]) -> list[str]:
    """Torch's names for the ways that attention is computed in a call, each as often as it is."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        call()
    return [event.name.removeprefix(PREFIX) for event in record.events() if event.name.startswith(PREFIX)]


def passes(setting: Setting, network: ErnieVL) -> Iterator[tuple[str, Callable[[], object]]]:
    """A whole prompt, a few tokens behind it, a tree of answers, and a next token."""
    tokens = setting.sizes.prompt
    blocks = blocks_for(tokens + NEW)
    pool = KVPool(network.config.text, 1 + blocks, network.dtype, network.device)
    table = list(range(1, 1 + blocks))
    ids = setting.whole(0, WORDS, tokens + NEW)
    tree = torch.eye(NEW, dtype=torch.bool)

    def read(start: int, end: int, tree: torch.Tensor | None = None) -> Callable[[], object]:
        piece = Chunk(ids[start:end], torch.arange(start, end).expand(3, -1), start, table, tree=tree)
        return lambda: forward.prefill(network, pool, [piece])

    yield "a prompt", read(0, tokens)
    yield "a piece behind it", read(tokens, tokens + NEW)
    yield "a tree of answers", read(tokens, tokens + NEW, tree)
    lengths = torch.tensor([tokens], device=setting.device)
    tables = torch.tensor([table], device=setting.device)
    yield "a next token", lambda: forward.decode(network, pool, ids[:1], lengths, tables, lengths)


def attention(setting: Setting, network: ErnieVL) -> None:
    """The share of a pass's layers whose attention a fused kernel of torch computes, or one of ours."""
    layers = network.config.text.num_layers
    for name, call in passes(setting, network):
        ways = served(call)
        share = 100 * (layers - ways.count(STEPWISE)) / layers
        note = ", ".join(sorted(set(ways))) or "none of torch's"
        setting.rows.add(f"attention in fused kernels, {name}", share, "%", note)
