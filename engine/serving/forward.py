"""Passes through the network for requests: prompts, tries of choices, and single tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import ComputationFailed
from engine.model.cache import KVCache, Segment
from engine.model.network import ErnieVL
from engine.serving.choices import ChoiceTrie
from engine.serving.prompts import EncodedPrompt


@dataclass(eq=False)
class Sequenced:
    """A prompt whose keys and values are cached; `last` `[hidden]` is the state of its newest token."""

    cache: KVCache
    last: Tensor
    next_position: int


def prefill(network: ErnieVL, prompts: Sequence[EncodedPrompt], room: Sequence[int]) -> list[Sequenced]:
    """Compute the prompts in one packed pass, with `room` for that many further tokens behind each."""
    device = network.device
    dtype = network.dtype
    text = network.config.text
    caches = [
        KVCache(text, prompt.length + more, dtype, device) for prompt, more in zip(prompts, room, strict=True)
    ]
    hidden = network.decode(
        torch.cat([prompt.token_ids for prompt in prompts]).to(device),
        torch.cat([prompt.positions for prompt in prompts], dim=1).to(device),
        _images(network, prompts),
        [Segment(prompt.length, cache) for prompt, cache in zip(prompts, caches, strict=True)],
    )
    parts = hidden.split([prompt.length for prompt in prompts])
    return [
        Sequenced(cache, part[-1], prompt.next_position)
        for cache, part, prompt in zip(caches, parts, prompts, strict=True)
    ]


def _images(network: ErnieVL, prompts: Sequence[EncodedPrompt]) -> Tensor | None:
    patches = [prompt.patches for prompt in prompts if prompt.patches is not None]
    if not patches:
        return None
    grids = [grid for prompt in prompts for grid in prompt.grids]
    return network.see(torch.cat(patches).to(network.device), grids)


def trie_logits(
    network: ErnieVL, sequences: Sequence[Sequenced], tries: Sequence[ChoiceTrie]
) -> list[Tensor]:
    """Logits `[1 + n, V]` of each prompt's last token and of the nodes of its trie, in one packed pass."""
    device = network.device
    depths = [trie.depths + sequence.next_position for trie, sequence in zip(tries, sequences, strict=True)]
    hidden = network.decode(
        torch.cat([trie.token_ids for trie in tries]).to(device),
        torch.cat(depths).expand(3, -1).to(device),
        None,
        [
            Segment(trie.nodes, sequence.cache, trie.tree.to(device))
            for trie, sequence in zip(tries, sequences, strict=True)
        ],
    )
    parts = hidden.split([trie.nodes for trie in tries])
    return [
        network.logits(torch.cat((sequence.last[None], part)))
        for sequence, part in zip(sequences, parts, strict=True)
    ]


def append(network: ErnieVL, sequence: Sequenced, token_ids: Sequence[int]) -> None:
    """Compute the next tokens of a sequence."""
    device = network.device
    first = sequence.next_position
    positions = torch.arange(first, first + len(token_ids), device=device).expand(3, -1)
    segment = Segment(len(token_ids), sequence.cache)
    hidden = network.decode(torch.tensor(token_ids, device=device), positions, None, [segment])
    sequence.last = hidden[-1]
    sequence.next_position += len(token_ids)


def finite(logits: Tensor) -> Tensor:
    """The logits in fp32; raises ComputationFailed where they are not numbers."""
    if not torch.isfinite(logits).all():
        raise ComputationFailed(
            "the network's output is not finite", "use another precision, and check the checkpoint's files"
        )
    return logits.float()
