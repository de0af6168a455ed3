"""What compressing cost: an error for every tensor of the source, and sizes in all."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from engine.checkpoint.formats import Format
from engine.compression.plan import Stack
from engine.compression.workshop import Rows
from engine.quant.quantizer import TwoBitStack
from engine.quant.scales import Losses

REPORT = "quantization.json"
BYTE = 8


@dataclass(frozen=True)
class Totals:
    """Sizes of a compressed checkpoint, and the mean relative squared errors of its routed experts.

    The output error is under the Hessian of the calibration; None without one.
    """

    weights: int
    routed_weights: int
    bits_per_weight: float
    bits_per_routed_weight: float
    weight_error: float
    output_error: float | None


def row_of(kind: Format, weight: Tensor, kept: Mapping[str, Tensor], values: Tensor) -> dict[str, Any]:
    """The report of one weight by itself: `kept` are its stored parts, `values` what they stand for."""
    error = float((values.float() - weight.float()).square().sum())
    return {
        "format": kind,
        "weights": weight.numel(),
        "bits": BYTE * sum(part.nbytes for part in kept.values()),
        "weight_error": error / max(float(weight.float().square().sum()), torch.finfo(torch.float32).tiny),
        "output_error": None,
    }


def rows_of(stack: Stack, part: range, kept: TwoBitStack, losses: Losses, calibrated: bool) -> Rows:
    """The report of each source tensor of some experts of a stack."""
    rows: Rows = {}
    for piece in stack.pieces:
        if piece.expert not in part:
            continue
        mine = (part.index(piece.expert), *piece.place[1:])
        weights = prod(piece.shape)
        bits = 2 * weights + 16 * kept.scales[mine].numel()
        rows[piece.key] = {
            "format": Format.TWO_BIT,
            "weights": weights,
            "bits": bits,
            "weight_error": float(losses.weight_error[mine].sum() / losses.weight[mine].sum()),
            "output_error": (
                float(losses.output_error[mine].sum() / losses.output[mine].sum()) if calibrated else None
            ),
        }
    return rows


def totals_of(rows: Rows) -> Totals:
    """Add the report up."""
    routed = [row for row in rows.values() if row["format"] == Format.TWO_BIT]
    weights = sum(row["weights"] for row in rows.values())
    routed_weights = sum(row["weights"] for row in routed)
    calibrated = all(row["output_error"] is not None for row in routed)
    return Totals(
        weights=weights,
        routed_weights=routed_weights,
        bits_per_weight=sum(row["bits"] for row in rows.values()) / weights,
        bits_per_routed_weight=sum(row["bits"] for row in routed) / max(routed_weights, 1),
        weight_error=_mean(row["weight_error"] for row in routed),
        output_error=_mean(row["output_error"] for row in routed) if calibrated else None,
    )


def as_json(identity: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """The report file's content."""
    return {**identity, "totals": asdict(totals_of(rows)), "tensors": dict(sorted(rows.items()))}


def _mean(values: Iterable[float]) -> float:
    held = list(values)
    return sum(held) / max(len(held), 1)
