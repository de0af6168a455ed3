"""How wide the code's steps are: a search before encoding, and the best scale of each channel after it.

E matrices of a stack, N output channels, K input rows, C candidates
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.format.code import decode
from engine.format.layout import SEGMENT, SPREAD
from engine.quant.ldlq import encode_rows

TINY = 1e-12
"""Keeps a channel of zeros from dividing by zero."""

STRETCH = 1.04
"""How much larger a step is than the code's spread asks for: 2 bits reach the middle of a Gaussian best."""

STRETCHES: tuple[float, ...] = (1.04, 1.1, 1.16, 1.22, 1.28)
"""What is tried where errors are fed forward: they widen the targets, by as much as the inputs correlate."""

SAMPLE_WEIGHTS = 100_000
"""So many weights tell the candidates apart: all are tried on the same ones."""


@dataclass(frozen=True)
class Losses:
    """What encoding cost each channel, `[E, N]` each: squared errors, and the squares they compare with.

    `output` is under the Hessian: the expected square of a channel's output.
    """

    weight_error: Tensor
    weight: Tensor
    output_error: Tensor
    output: Tensor


def steps_of(wanted: Tensor) -> Tensor:
    """The width of a step `[E, N, 1]` at which each channel of `[E, N, K]` spreads as the code does."""
    return (wanted.square().mean(-1, keepdim=True).sqrt() / SPREAD).clamp(min=TINY)


def decoded(codes: Tensor, window_bits: int) -> Tensor:
    """The values fp32 `[E, N, K]` of bytes `[E, N/128, Q, 128]`, before scaling."""
    values = torch.from_numpy(decode(codes.flatten(0, 1).numpy(), window_bits))
    return values.unflatten(0, (len(codes), -1)).float()


def best_stretch(wanted: Tensor, feedback: Tensor | None, basis: Tensor | None, window_bits: int) -> float:
    """By how much to widen the steps of `[E, N, K]`: what loses least under the Hessian, on a sample.

    One number serves all channels: each is divided by its own spread, and what widens the targets is the
    feedback `[E, K, K]`, or `[1, K, K]`, which the channels share. `basis` are the Hessians in that shape.
    """
    if feedback is None or basis is None:
        return STRETCH
    some = min(len(wanted), -(-SAMPLE_WEIGHTS // (SEGMENT * wanted.shape[2])))
    sample = wanted[:some, :SEGMENT]
    widths = steps_of(sample) * torch.tensor(STRETCHES)[:, None, None, None]
    tried = (sample / widths).flatten(0, 1)
    if len(feedback) > 1:
        feedback, basis = feedback[:some].repeat(len(widths), 1, 1), basis[:some].repeat(len(widths), 1, 1)
    codes = torch.from_numpy(encode_rows(tried, feedback, window_bits))
    _, losses = fit(sample.repeat(len(widths), 1, 1), decoded(codes, window_bits), basis)
    lost = losses.output_error.sum(-1).unflatten(0, (len(widths), some)).sum(-1)
    return STRETCHES[int(lost.argmin())]


def fit(wanted: Tensor, values: Tensor, basis: Tensor | None) -> tuple[Tensor, Losses]:
    """The scales `[E, N]` in fp16 that serve the outputs best, and what is then lost."""
    shaped = values if basis is None else values @ basis
    cross, power = (wanted * shaped).sum(-1), (values * shaped).sum(-1)
    scales = (cross / power.clamp(min=TINY)).half()
    wide = scales.float()
    output = wanted.square().sum(-1) if basis is None else (wanted * (wanted @ basis)).sum(-1)
    output_error = output - 2 * wide * cross + wide.square() * power
    weight_error = (wanted - wide[..., None] * values).square().sum(-1)
    return scales, Losses(weight_error, wanted.square().sum(-1), output_error, output)
