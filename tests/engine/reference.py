"""What transformers computes, in the words of our tests."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Ernie4_5_VLMoeForConditionalGeneration, Ernie4_5_VLMoeImageProcessorPil

from engine.checkpoint.config import ModelConfig
from engine.model.rope import Grid
from engine.serving.prompts import EncodedPrompt, PromptImage
from tests.engine.tiny import IMAGE_TOKENS, SPECIAL_TOKENS

Pixels = NDArray[np.uint8]

PLACEHOLDER, START, END = (SPECIAL_TOKENS.index(token) for token in list(IMAGE_TOKENS.values())[:3])


def reference_patches(
    images: Sequence[Pixels], largest_area: int = 28 * 28 * 6177
) -> tuple[Tensor, list[Grid]]:
    """Patches `[N, 588]` and grids by the image processor of transformers."""
    processor = Ernie4_5_VLMoeImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": largest_area})
    out = processor(images=list(images), return_tensors="pt")
    return out["pixel_values"], [(t, h, w) for t, h, w in out["image_grid_thw"].tolist()]


class Question:
    """A random prompt with images in it, as transformers takes it."""

    def __init__(self, rng: np.random.Generator, images: Sequence[Pixels]) -> None:
        self.ids = self._words(rng)
        self.patches: Tensor | None = None
        self.grids: list[Grid] = []
        if images:
            self.patches, self.grids = reference_patches(images)
        for _, rows, columns in self.grids:
            self.ids += [START] + [PLACEHOLDER] * (rows * columns // 4) + [END] + self._words(rng)

    @staticmethod
    def _words(rng: np.random.Generator) -> list[int]:
        """Between one and nine ids of ordinary tokens."""
        return [int(word) for word in rng.integers(len(SPECIAL_TOKENS), 400, rng.integers(1, 10))]

    def inputs(self) -> dict[str, Any]:
        """The keyword arguments of the reference model."""
        ids = torch.tensor([self.ids])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self.patches is not None:
            inputs["pixel_values"] = self.patches
            inputs["image_grid_thw"] = torch.tensor(self.grids)
        inputs["mm_token_type_ids"] = (ids == PLACEHOLDER).int()
        inputs["moe_mm_token_type_ids"] = torch.isin(ids, torch.tensor([PLACEHOLDER, START, END])).int()
        return inputs

    def encoded(self, config: ModelConfig) -> EncodedPrompt:
        """The same prompt as our engine takes it."""
        sizes = [rows * columns for _, rows, columns in self.grids]
        parts = [] if self.patches is None else self.patches.split(sizes)
        images = [
            PromptImage(
                digest=bytes([index]), grid=grid, tokens=len(part) // 4, cut=partial(torch.clone, part)
            )
            for index, (grid, part) in enumerate(zip(self.grids, parts, strict=True))
        ]
        return EncodedPrompt.of(self.ids, images, config)


@torch.inference_mode()
def reference_logits(model: Ernie4_5_VLMoeForConditionalGeneration, question: Question) -> Tensor:
    """Logits `[T, V]`."""
    logits: Tensor = model(**question.inputs()).logits[0]
    return logits


@torch.inference_mode()
def reference_greedy(
    model: Ernie4_5_VLMoeForConditionalGeneration, question: Question, count: int
) -> list[int]:
    """The ids that the reference writes; never a mark of an image, which only prompts hold."""
    untyped: Any = model
    written = untyped.generate(
        **question.inputs(),
        max_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
        suppress_tokens=[PLACEHOLDER, START, END],
    )
    ids: list[int] = written[0, len(question.ids) :].tolist()
    return ids
