"""Eight bits a weight with one scale per output row: the format of everything that is not a routed expert."""

import torch
from torch import Tensor

LARGEST = 127


def encode_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round `[rows, columns]` to int8 codes and fp32 scales `[rows]`; the error is at most scale / 2."""
    wide = weight.float()
    scales = wide.abs().amax(dim=1).clamp(min=1e-12) / LARGEST
    return (wide / scales[:, None]).round().to(torch.int8), scales


def decode_rows(codes: Tensor, scales: Tensor) -> Tensor:
    """Back to fp32 `[rows, columns]`."""
    return codes.float() * scales[:, None].float()
