"""From a caller's prompt to what the network reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import CheckpointInvalid, PromptInvalid, PromptTooLong
from engine.model.config import ModelConfig
from engine.model.images import ImageProcessor
from engine.model.rope import Grid, text_positions
from engine.model.template import IMAGE_MARKS, ChatTemplate
from engine.model.tokenizer import THINK_END, Tokenizer
from engine.serving.requests import Image, Prompt

BLANK_LINE = "\n\n"
"""Between thinking and answer where the template does not show an empty thinking block."""


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """Ids `[T]`, positions `[3, T]`, and the images' patches `[N, 588]` with their grids.

    The first token of the answer takes the position `next_position` on every axis.
    """

    token_ids: Tensor
    positions: Tensor
    next_position: int
    patches: Tensor | None
    grids: tuple[Grid, ...]

    @property
    def length(self) -> int:
        """Tokens of the prompt."""
        return len(self.token_ids)


class PromptEncoder:
    """Renders, tokenizes and cuts prompts as the checkpoint's own files say."""

    def __init__(self, directory: Path, config: ModelConfig, max_model_len: int) -> None:
        self.tokenizer = Tokenizer(directory)
        self.max_model_len = max_model_len
        self._template = ChatTemplate.from_checkpoint(directory, self.tokenizer.named)
        self._images = ImageProcessor.from_checkpoint(directory)
        self._config = config
        ours, theirs = self.tokenizer.id_of(IMAGE_MARKS[1]), config.image_token_id
        if ours != theirs:
            raise CheckpointInvalid(
                f"{IMAGE_MARKS[1]} has the id {ours} in tokenizer.json and {theirs} in config.json",
                "config.json and tokenizer.json must come from the same checkpoint",
            )

    def encode(self, prompt: Prompt, thinking: bool, answer_tokens: int) -> EncodedPrompt:
        """The network's input for a prompt that up to `answer_tokens` more tokens will follow.

        Raises ImageInvalid, PromptTooLong, and PromptInvalid for control tokens in a text, or thinking asked
        of a model that has no tokens for it.
        """
        if thinking and not self.tokenizer.thinks:
            raise PromptInvalid("this checkpoint has no thinking tokens", "ask without thinking")
        patches, grids = self._see(prompt)
        token_ids = list(self._expand(self._tokens(prompt, thinking), grids))
        total = len(token_ids) + answer_tokens
        if total > self.max_model_len:
            raise PromptTooLong(
                f"prompt of {len(token_ids)} tokens and answer of up to {answer_tokens} make {total}; "
                f"the context holds {self.max_model_len}",
                "use a smaller image or region, a shorter text, or fewer tokens for the answer",
            )
        positions, next_position = text_positions(token_ids, grids, self._config)
        return EncodedPrompt(torch.tensor(token_ids), positions, next_position, patches, tuple(grids))

    def separator(self) -> list[int]:
        """The ids that the template writes between `</think>` and the answer."""
        _, closed, tail = self._template.render(["?"], None, thinking=False).rpartition(THINK_END)
        return self.tokenizer.encode(tail if closed else BLANK_LINE)

    def _see(self, prompt: Prompt) -> tuple[Tensor | None, list[Grid]]:
        seen = [self._images.patches(part.pixels) for part in prompt.parts if isinstance(part, Image)]
        if not seen:
            return None, []
        return torch.cat([patches for patches, _ in seen]), [grid for _, grid in seen]

    def _tokens(self, prompt: Prompt, thinking: bool) -> list[int]:
        """Ids with one placeholder for each image."""
        parts = list(_joined(prompt.parts))
        for text in (*parts, prompt.system):
            if text is not None:
                self.tokenizer.refuse_reserved(text)
        return self.tokenizer.encode(self._template.render(parts, prompt.system, thinking))

    def _expand(self, token_ids: Sequence[int], grids: Sequence[Grid]) -> Iterator[int]:
        """Repeat each placeholder as often as its image has tokens."""
        counts = iter([self._images.tokens(grid) for grid in grids])
        for token_id in token_ids:
            yield from [token_id] * (next(counts) if token_id == self._config.image_token_id else 1)


def _joined(parts: Sequence[str | Image]) -> Iterator[str | None]:
    """Texts with their neighbours joined, so that no control token hides across two; None for an image."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield text
        yield None
        text = ""
    if text:
        yield text
