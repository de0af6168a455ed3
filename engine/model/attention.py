"""Grouped-query attention (Ainslie et al. 2023) over packed sequences.

T tokens, n sequences of t each, H query heads, G key/value heads, D head size
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

from engine.checkpoint.config import TextConfig
from engine.kernels import fused_kernels_for
from engine.model.cache import AttentionLayout, Group, KVPool
from engine.model.compressed import project
from engine.model.rope import rotate_adjacent

# Torch's first choice on an H100 builds a plan for each new shape, in tenths of a second, and here nearly
# every pass has a shape of its own (https://github.com/pytorch/pytorch/pull/155958).
torch.backends.cuda.enable_cudnn_sdp(False)


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

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], layout: AttentionLayout) -> Tensor:
        """`[T, hidden] -> [T, hidden]`; `rotation` holds cosines and sines `[T, D]`."""
        heads = project((self.q_proj, self.k_proj, self.v_proj), x)
        q, k, v = (part.unflatten(-1, (-1, self.head_dim)) for part in heads)
        q, k = rotate_adjacent(q, *rotation), rotate_adjacent(k, *rotation)
        if layout.pool is not None and layout.slots is not None:
            layout.pool.store(self.layer, layout.slots, k, v)
        parts = zip(layout.groups, *(_split(part, layout.groups) for part in (q, k, v)), strict=True)
        mixed = [self._attend(layout.pool, *part) for part in parts]
        out: Tensor = self.o_proj((mixed[0] if len(mixed) == 1 else torch.cat(mixed)).flatten(1))
        return out

    def _attend(self, pool: KVPool | None, group: Group, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with the sequences of a group, each by itself: `[n t, H, D]` -> `[n t, H, D]`."""
        if pool is not None and group.slots is not None and group.lengths is not None:
            kernels = fused_kernels_for(q.device)
            if kernels is not None and kernels.can_attend(q, pool.keys):
                keys, values = pool.keys[self.layer], pool.values[self.layer]
                return kernels.attend(q, keys, values, group.slots, group.lengths)
        q, k, v = (part.unflatten(0, (group.count, group.length)) for part in (q, k, v))
        if pool is not None and group.slots is not None:
            k, v = pool.read(self.layer, group.slots)
        return _mix(group, q, k, v).flatten(0, 1)


def _mix(group: Group, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Queries `[n, t, H, D]` for keys and values `[n, L, G, D]` -> `[n, t, H, D]`, as suits the device.

    On a GPU flash attention takes no mask, so that a causal one is only named; and torch's other fused kernel
    takes masks, but as many query heads as key heads. What neither takes is computed step by step.
    """
    on_gpu = q.device.type == "cuda"
    mask = group.mask if on_gpu else group.seen
    if group.length == 1 or (on_gpu and mask is not None):
        return _mix_heads_as_tokens(q, k, v, mask)
    if on_gpu:
        mask = causal_lower_right(group.length, group.keys)
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
    return mixed.transpose(1, 2)


def _mix_heads_as_tokens(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """The query heads that share a key head stand in for tokens, so that each key is read once."""
    q = q.unflatten(2, (k.shape[2], -1)).transpose(1, 2)
    tokens = q.shape[2:4]
    mixed = scaled_dot_product_attention(
        q.flatten(2, 3), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask
    )
    return mixed.unflatten(2, tokens).transpose(1, 2).flatten(2, 3)


def _split(x: Tensor, groups: Sequence[Group]) -> tuple[Tensor, ...]:
    return x.split([group.tokens for group in groups])


def attend_within(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """Full attention inside consecutive blocks of the given lengths: `[N, H, D]` each -> `[N, H, D]`."""
    if len(set(lengths)) == 1:
        q, k, v = (t.unflatten(0, (len(lengths), -1)).transpose(1, 2) for t in (q, k, v))
        return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)
    blocks = zip(*(t.split(list(lengths)) for t in (q, k, v)), lengths, strict=True)
    return torch.cat([attend_within(qs, ks, vs, [length]) for qs, ks, vs, length in blocks])
