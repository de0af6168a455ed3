"""The vision tower: a transformer over 14 x 14 patches at the image's own resolution.

N patches, H heads, D head size
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.checkpoint.config import VisionConfig
from engine.model.attention import attend_within
from engine.model.compressed import feed_forward
from engine.model.rope import Grid, rotate_halves, vision_rotation


def quick_gelu(x: Tensor) -> Tensor:
    """`x * sigmoid(1.702 x)` (Hendrycks & Gimpel 2016, section 2)."""
    return x * torch.sigmoid(1.702 * x)


class VisionAttention(nn.Module):
    """Attention among the patches of one frame."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], lengths: Sequence[int]) -> Tensor:
        """`[N, hidden] -> [N, hidden]`; `lengths` are the patches of each frame."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).unbind(1)
        mixed = attend_within(rotate_halves(q, *rotation), rotate_halves(k, *rotation), v, lengths)
        out: Tensor = self.proj(mixed.flatten(1))
        return out


class VisionMlp(nn.Module):
    """Two linear layers with quick GELU between them."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, hidden] -> [N, hidden]`."""
        out = feed_forward(None, self.fc1, self.fc2, x)
        if out is None:
            out = self.fc2(quick_gelu(self.fc1(x)))
        return out


class VisionBlock(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = VisionAttention(config)
        self.mlp = VisionMlp(config)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], lengths: Sequence[int]) -> Tensor:
        """`[N, hidden] -> [N, hidden]`."""
        x = x + self.attn(self.norm1(x), rotation, lengths)
        return x + self.mlp(self.norm2(x))


class VisionTower(nn.Module):
    """Turns the patches of any number of images into features, each image by itself."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = nn.Linear(config.patch_dim, config.hidden_size, bias=False)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.ln = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, patches: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Patches `[N, 588]` in merge-block order -> features `[N, hidden]`."""
        config = self.config
        head_dim = config.hidden_size // config.num_heads
        rotation = vision_rotation(grids, head_dim, config.spatial_merge_size, patches.device)
        lengths = [rows * columns for frames, rows, columns in grids for _ in range(frames)]
        x = self.patch_embed(patches)
        for block in self.blocks:
            x = block(x, rotation, lengths)
        out: Tensor = self.ln(x)
        return out
