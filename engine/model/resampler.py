"""From vision features to decoder tokens: 2 x 2 patches and 2 frames become one token.

N patches, M = N/4 tokens of the decoder
"""

import torch
from torch import Tensor, nn

from engine.checkpoint.config import TextConfig, VisionConfig
from engine.model.norm import RMSNorm


class Resampler(nn.Module):
    """Merges four neighbouring patches, pairs frames in time, and projects to the decoder's width."""

    def __init__(self, vision: VisionConfig, text: TextConfig) -> None:
        super().__init__()
        self.merged = vision.hidden_size * vision.spatial_merge_size**2
        self.frames = vision.temporal_merge_size
        self.spatial_linear = _two_layers(self.merged, self.merged)
        self.temporal_linear = _two_layers(self.merged * self.frames, self.merged)
        self.mlp = nn.Linear(self.merged, text.hidden_size)
        self.after_norm = RMSNorm(text.hidden_size, text.rms_norm_eps)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[N, vision hidden]` of still images -> tokens `[M, hidden]`.

        A still image is its own neighbour in time, so its features are paired with themselves.
        """
        x = self.spatial_linear(features.reshape(-1, self.merged))
        x = self.temporal_linear(torch.cat([x] * self.frames, dim=-1))
        out: Tensor = self.after_norm(self.mlp(x))
        return out


def _two_layers(wide: int, inner: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(wide, inner), nn.GELU(), nn.Linear(inner, inner), nn.LayerNorm(inner, eps=1e-6)
    )
