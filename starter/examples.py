"""From a labelled picture to what the network is trained on: token ids, patches, and which are defective.

T tokens, N patches, K kinds of defect
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.checkpoint.config import ModelConfig
from engine.model.images import ImageProcessor
from engine.model.rope import Grid, text_positions
from starter.pictures.facts import FACTS
from starter.pictures.samples import GOOD, Mask, Sample
from starter.pictures.targets import diagnose_text, inspect_text, reasoning, report_json

KINDS = tuple(kind for kind in FACTS if kind != GOOD)
"""Defects that the auxiliary head tells apart, in the order of its outputs."""

REPORT_TOKEN_WEIGHT = 0.06
"""A report has some 150 tokens for the 2 of a class: without this its grammar would drown the class."""

DEFECTIVE_SHARE = 0.04
"""A patch counts as defective from this share of defective pixels on."""


@dataclass(frozen=True)
class Example:
    """One sequence with its picture; `weights` `[T]` say how much each token counts (0 for the prompt)."""

    token_ids: Tensor
    weights: Tensor
    patches: Tensor
    grid: Grid
    kind: int | None
    """Index into KINDS, None for a good part."""
    defective: Tensor | None
    """Which patches `[N]` show the defect; None where that is unknown."""


@dataclass(frozen=True)
class ExampleMaker:
    """Builds examples; the strings are those of the chat template, which a test holds them to."""

    tokenizer: Tokenizer
    images: ImageProcessor

    def make(self, sample: Sample, thinking: bool) -> Example:
        """The class as an answer, or with `thinking` the reasoning and the report."""
        patches, grid = self.images.patches(sample.pixels)
        text = diagnose_text if thinking else inspect_text
        prompt = self.tokenizer.encode(
            self.prompt(text(sample.part, sample.classes), self.images.tokens(grid), thinking),
            add_special_tokens=False,
        ).ids
        answer = self.tokenizer.encode(self.answer(sample, thinking), add_special_tokens=False).ids
        weight = REPORT_TOKEN_WEIGHT if thinking else 1.0
        return Example(
            token_ids=torch.tensor(prompt + answer),
            weights=torch.tensor([0.0] * len(prompt) + [weight] * len(answer)),
            patches=patches,
            grid=grid,
            kind=None if sample.label == GOOD else KINDS.index(sample.label),
            defective=self._defective(sample, grid),
        )

    def prompt(self, text: str, image_tokens: int, thinking: bool) -> str:
        """The rendered chat template for one turn of words and one picture."""
        image = f"Picture 1:<|IMAGE_START|>{'<|IMAGE_PLACEHOLDER|>' * image_tokens}<|IMAGE_END|>"
        opening = "<think>" if thinking else "<think>\n\n</think>\n\n"
        return f"<|begin_of_sentence|>User: {text}{image}\nAssistant: {opening}"

    def answer(self, sample: Sample, thinking: bool) -> str:
        """What the model is to say, with the end of the sequence."""
        said = f"\n{reasoning(sample)}\n</think>\n\n{report_json(sample)}" if thinking else sample.label
        return said + "</s>"

    def _defective(self, sample: Sample, grid: Grid) -> Tensor | None:
        if sample.label == GOOD:
            return torch.zeros(grid[1] * grid[2])
        mask = sample.mask
        if mask is None and sample.boxes:
            mask = _filled_boxes(sample)
        if mask is None:
            return None
        share = torch.from_numpy(mask.astype(np.float32))[None, None]
        share = torch.nn.functional.adaptive_avg_pool2d(share, grid[1:])[0, 0]
        merge = self.images.merge
        blocks = share.unflatten(1, (-1, merge)).unflatten(0, (-1, merge)).transpose(1, 2).flatten()
        defective: Tensor = (blocks > DEFECTIVE_SHARE).float()
        return defective


def _filled_boxes(sample: Sample) -> Mask:
    height, width = sample.pixels.shape[:2]
    mask = np.zeros((height, width), bool)
    for box in sample.boxes:
        mask[
            int(box.y0 * height) : int(np.ceil(box.y1 * height)),
            int(box.x0 * width) : int(np.ceil(box.x1 * width)),
        ] = True
    return mask


@dataclass(frozen=True)
class Batch:
    """Packed examples: ids, weights and positions of all tokens in a row, and the pictures."""

    token_ids: Tensor
    weights: Tensor
    positions: Tensor
    lengths: tuple[int, ...]
    patches: Tensor
    grids: tuple[Grid, ...]
    kinds: tuple[int | None, ...]
    defective: tuple[Tensor | None, ...]


def pack(examples: Sequence[Example], config: ModelConfig) -> Batch:
    """Put examples one behind the other, without padding."""
    return Batch(
        token_ids=torch.cat([e.token_ids for e in examples]),
        weights=torch.cat([e.weights for e in examples]),
        positions=torch.cat(
            [text_positions(e.token_ids.tolist(), [e.grid], config)[0] for e in examples], dim=1
        ),
        lengths=tuple(len(e.token_ids) for e in examples),
        patches=torch.cat([e.patches for e in examples]),
        grids=tuple(e.grid for e in examples),
        kinds=tuple(e.kind for e in examples),
        defective=tuple(e.defective for e in examples),
    )
