"""Root-mean-square normalisation (Zhang & Sennrich 2019)."""

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Scales each row to unit root mean square in fp32, casts back, then multiplies by a learned weight."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """`[..., size] -> [..., size]`, same dtype."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return wide.to(x.dtype) * self.weight
