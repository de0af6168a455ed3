"""A head used only in training: it names the defect in each patch, so that the tower learns from masks.

Where only the class of the whole picture is known, its most suspicious patches have to carry it
(multiple-instance learning, Maron & Lozano-Pérez 1998).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from starter.examples import KINDS, Batch

POSITIVE_WEIGHT = 4.0
SUSPICIOUS_PATCHES = 3


class PatchHead(nn.Module):
    """Vision features `[N, hidden]` -> logits `[N, kinds]`."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, len(KINDS))
        nn.init.constant_(self.linear.bias, -3.0)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of each kind of defect in each patch."""
        out: Tensor = self.linear(features)
        return out

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        """Mean binary cross-entropy over the pictures of a batch."""
        logits = self.forward(features).float()
        parts = logits.split([rows * columns for _, rows, columns in batch.grids])
        losses = [
            _picture_loss(part, kind, defective)
            for part, kind, defective in zip(parts, batch.kinds, batch.defective, strict=True)
        ]
        return torch.stack(losses).mean()


def _picture_loss(logits: Tensor, kind: int | None, defective: Tensor | None) -> Tensor:
    top = logits.topk(SUSPICIOUS_PATCHES, dim=0).values.mean(0)
    whole = torch.zeros_like(top)
    if kind is not None:
        whole[kind] = 1.0
    picture = binary_cross_entropy_with_logits(top, whole)
    if defective is None:
        return picture
    target = torch.zeros_like(logits)
    if kind is not None:
        target[:, kind] = defective
    weight = 1 + (POSITIVE_WEIGHT - 1) * target
    patches = binary_cross_entropy_with_logits(logits, target, weight, reduction="sum") / len(logits)
    return picture + patches
