"""Grouped-query attention (Ainslie et al. 2023) over packed sequences.

T tokens, H query heads, G key/value heads, D head size
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from engine.model.cache import Segment
from engine.model.config import TextConfig
from engine.model.rope import rotate_adjacent


class Attention(nn.Module):
    """Causal self-attention of one decoder layer; sequences of the batch never see each other."""

    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.num_heads * config.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, config.num_kv_heads * config.head_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, config.num_kv_heads * config.head_dim, bias=False)
        self.o_proj = nn.Linear(config.num_heads * config.head_dim, config.hidden_size, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], segments: Sequence[Segment]) -> Tensor:
        """`[T, hidden] -> [T, hidden]`; `rotation` holds cosines and sines `[T, D]`."""
        q = rotate_adjacent(self.q_proj(x).unflatten(-1, (-1, self.head_dim)), *rotation)
        k = rotate_adjacent(self.k_proj(x).unflatten(-1, (-1, self.head_dim)), *rotation)
        v = self.v_proj(x).unflatten(-1, (-1, self.head_dim))
        mixed = torch.cat(
            [
                self._attend(segment, *parts)
                for segment, *parts in zip(segments, *(_split(t, segments) for t in (q, k, v)), strict=True)
            ]
        )
        out: Tensor = self.o_proj(mixed.flatten(1))
        return out

    def _attend(self, segment: Segment, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with one sequence: `[t, H, D]`, `[t, G, D]`, `[t, G, D]` -> `[t, H, D]`."""
        mask = segment.visible(q.device)
        causal = segment.is_causal
        if segment.cache is not None:
            k, v = segment.cache.append(self.layer, k, v)
        mixed = scaled_dot_product_attention(
            q.transpose(0, 1)[None],
            k.transpose(0, 1)[None],
            v.transpose(0, 1)[None],
            attn_mask=mask,
            is_causal=causal,
            enable_gqa=True,
        )
        return mixed[0].transpose(0, 1)


def _split(x: Tensor, segments: Sequence[Segment]) -> tuple[Tensor, ...]:
    return x.split([segment.length for segment in segments])


def attend_within(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """Full attention inside consecutive blocks of the given lengths: `[N, H, D]` each -> `[N, H, D]`."""
    if len(set(lengths)) == 1:
        q, k, v = (t.unflatten(0, (len(lengths), -1)).transpose(1, 2) for t in (q, k, v))
        return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)
    blocks = zip(*(t.split(list(lengths)) for t in (q, k, v)), lengths, strict=True)
    return torch.cat([attend_within(qs, ks, vs, [length]) for qs, ks, vs, length in blocks])
