"""From a caller's prompt to what the network reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.checkpoint.config import ModelConfig
from engine.checkpoint.template import IMAGE_MARKS, THINK_END, ChatTemplate
from engine.checkpoint.tokenizer import Tokenizer
from engine.errors import CheckpointInvalid, PromptInvalid, PromptTooLong
from engine.model.cache import BLOCK_TOKENS
from engine.model.images import ImageProcessor
from engine.model.rope import Grid, image_spans, text_positions
from engine.serving.requests import Image, Prompt


@dataclass(frozen=True, eq=False)
class PromptImage:
    """An image of a prompt, which takes `tokens` placeholders.

    `digest` names its pixels; `cut` makes its patches `[N, 588]` when they are wanted.
    """

    digest: bytes
    grid: Grid
    tokens: int
    cut: Callable[[], Tensor]

    @cached_property
    def patches(self) -> Tensor:
        """Its patches `[N, 588]`."""
        return self.cut()


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """Ids `[T]` and positions `[3, T]`, and the images whose placeholders stand among the ids.

    The first token of the answer takes the position `next_position` on every axis. `starts` are the indices
    of each image's first placeholder. `chain` names every whole block of the prompt, and with it all that
    comes before it.
    """

    token_ids: Tensor
    positions: Tensor
    next_position: int
    images: tuple[PromptImage, ...]
    starts: tuple[int, ...]
    chain: tuple[bytes, ...]

    @staticmethod
    def of(token_ids: Sequence[int], images: Sequence[PromptImage], config: ModelConfig) -> "EncodedPrompt":
        """The prompt of these ids, in which each image has as many placeholders as its grid needs."""
        grids = [image.grid for image in images]
        positions, next_position = text_positions(token_ids, grids, config)
        starts = tuple(start for start, _ in image_spans(token_ids, grids, config))
        chain = _chain(token_ids, positions, dict(zip(starts, images, strict=True)))
        return EncodedPrompt(
            torch.tensor(token_ids), positions, next_position, tuple(images), starts, tuple(chain)
        )

    def chain_with(self, written: Sequence[int]) -> tuple[bytes, ...]:
        """The names of the blocks when these tokens stand behind it."""
        behind = torch.arange(self.next_position, self.next_position + len(written)).expand(3, -1)
        positions = torch.cat((self.positions, behind), dim=1)
        images = dict(zip(self.starts, self.images, strict=True))
        return tuple(_chain([*self.token_ids.tolist(), *written], positions, images))

    @property
    def length(self) -> int:
        """Tokens of the prompt."""
        return len(self.token_ids)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The grids of all images."""
        return tuple(image.grid for image in self.images)

    @property
    def patches(self) -> Tensor | None:
        """The patches `[N, 588]` of all images."""
        return torch.cat([image.patches for image in self.images]) if self.images else None


def _chain(token_ids: Sequence[int], positions: Tensor, images: dict[int, PromptImage]) -> Iterator[bytes]:
    """A digest for each whole block: of its ids and positions, of images that begin in it, and of all before.

    An image that began in an earlier block is known by that block's digest.
    """
    table = np.vstack((np.asarray(token_ids, np.int64), positions.numpy())).T
    digest = b""
    for end in range(BLOCK_TOKENS, len(token_ids) + 1, BLOCK_TOKENS):
        block = range(end - BLOCK_TOKENS, end)
        begun = b"".join(image.digest for start, image in images.items() if start in block)
        content = np.ascontiguousarray(table[block.start : end]).tobytes()
        digest = sha256(digest + content + begun).digest()
        yield digest


class PromptEncoder:
    """Renders, tokenizes and cuts prompts as the checkpoint's own files say."""

    def __init__(
        self,
        directory: Path,
        config: ModelConfig,
        max_model_len: int,
        is_seen: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        """`is_seen` tells of an image's digest whether its patches will hardly be needed again."""
        self.tokenizer = Tokenizer(directory)
        self.max_model_len = max_model_len
        self._is_seen = is_seen
        self.template = ChatTemplate.from_checkpoint(directory, self.tokenizer.named, self.tokenizer.thinks)
        self.images = ImageProcessor.from_checkpoint(directory)
        self._config = config
        ours, theirs = self.tokenizer.id_of(IMAGE_MARKS[1]), config.image_token_id
        if ours != theirs:
            raise CheckpointInvalid(
                f"{IMAGE_MARKS[1]} has the id {ours} in {self.tokenizer.file} and {theirs} in config.json",
                "configuration and tokenizer must come from the same checkpoint",
            )

    def encode(self, prompt: Prompt, thinking: bool, answer_tokens: int) -> EncodedPrompt:
        """The network's input for a prompt that up to `answer_tokens` more tokens will follow.

        Raises ImageInvalid, PromptTooLong, and PromptInvalid for control tokens in a text, or thinking asked
        of a model that has no tokens for it.
        """
        if thinking and not self.tokenizer.thinks:
            raise PromptInvalid("this checkpoint has no thinking tokens", "ask without thinking")
        images = [self._image(part) for part in prompt.parts if isinstance(part, Image)]
        token_ids = list(self._expand(self.tokenizer.encode(self.render(prompt, thinking)), images))
        total = len(token_ids) + answer_tokens
        if total > self.max_model_len:
            raise PromptTooLong(
                f"prompt of {len(token_ids)} tokens and answer of up to {answer_tokens} make {total}; "
                f"the context holds {self.max_model_len}",
                "use a smaller image or region, a shorter text, or fewer tokens for the answer",
            )
        for image in images:
            if not self._is_seen(image.digest):
                _ = image.patches  # cut here, on the caller's thread, so that the device never waits for it
        return EncodedPrompt.of(token_ids, images, self._config)

    def render(self, prompt: Prompt, thinking: bool) -> str:
        """The text of a prompt as the template writes it, with one mark for each image.

        Raises PromptInvalid for control tokens in the caller's texts.
        """
        parts = list(_joined(prompt.parts))
        for text in (*parts, prompt.system):
            if text is not None:
                self.tokenizer.refuse_reserved(text)
        return self.template.render(parts, prompt.system, thinking)

    def separator(self) -> list[int]:
        """The ids that the template writes between `</think>` and the answer, for a model that thinks."""
        _, _, tail = self.template.render(["?"], None, thinking=False).rpartition(THINK_END)
        return self.tokenizer.encode(tail)

    def _image(self, image: Image) -> PromptImage:
        pixels, processor = image.pixels, self.images.within(image.max_pixels)
        grid = processor.grid(pixels)
        # The shape belongs to it: the same bytes in other rows are another picture, and so is a smaller one.
        digest = sha256(np.ascontiguousarray(pixels).data)
        digest.update(repr((pixels.shape, grid)).encode())
        return PromptImage(
            digest.digest(), grid, processor.tokens(grid), lambda: processor.patches(pixels)[0]
        )

    def _expand(self, token_ids: Sequence[int], images: Sequence[PromptImage]) -> Iterator[int]:
        """Repeat each placeholder as often as its image has tokens."""
        counts = iter([image.tokens for image in images])
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
