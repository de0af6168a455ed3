"""From pixels to patches: resize to whole merge blocks, normalise, and cut.

H, W image sides in pixels, N patches
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pillow
from torch import Tensor

from engine.checkpoint.files import read_json
from engine.errors import CheckpointInvalid, ImageInvalid
from engine.model.rope import Grid

Pixels = npt.NDArray[np.uint8]

LARGEST_ASPECT = 200
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SMALLEST_AREA = 56 * 56
LARGEST_AREA = 28 * 28 * 6177


@dataclass(frozen=True)
class ImageProcessor:
    """Turns an RGB image into the patches the vision tower reads; areas are in pixels."""

    patch: int = 14
    merge: int = 2
    min_area: int = SMALLEST_AREA
    max_area: int = LARGEST_AREA
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    @staticmethod
    def from_checkpoint(directory: Path) -> "ImageProcessor":
        """Read the checkpoint's settings, or take the released values where it has none.

        They stand in `preprocessor_config.json`, or in `processor_config.json` under `image_processor`; the
        areas as `min_pixels` and `max_pixels`, or as `shortest_edge` and `longest_edge` of `size`. Raises
        CheckpointInvalid for values that no image could be resized by.
        """
        raw = _settings(directory)
        size = raw.get("size") or {}
        processor = ImageProcessor(
            patch=raw.get("patch_size") or 14,
            merge=raw.get("merge_size") or 2,
            min_area=raw.get("min_pixels") or size.get("shortest_edge") or SMALLEST_AREA,
            max_area=raw.get("max_pixels") or size.get("longest_edge") or LARGEST_AREA,
            mean=tuple(raw.get("image_mean") or CLIP_MEAN),
            std=tuple(raw.get("image_std") or CLIP_STD),
        )
        block = (processor.patch * processor.merge) ** 2
        if not block <= processor.min_area <= processor.max_area:
            raise CheckpointInvalid(
                f"images of {processor.min_area} to {processor.max_area} pixels cannot be cut into blocks of "
                f"{block}",
                "take the preprocessor_config.json that came with the weights",
            )
        return processor

    def within(self, max_area: int | None) -> "ImageProcessor":
        """The same with a smaller largest area; at least the smallest one, and one's own for None."""
        if max_area is None or max_area >= self.max_area:
            return self
        return replace(self, max_area=max(max_area, self.min_area))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing: multiples of a merge block, area within bounds, aspect kept.

        Raises ImageInvalid where one side is over 200 times the other.
        """
        if max(height, width) > LARGEST_ASPECT * min(height, width):
            raise ImageInvalid(
                f"an image of {width} x {height} pixels is over {LARGEST_ASPECT} times longer than wide",
                "crop the region of interest in the recipe",
            )
        block = self.patch * self.merge
        new_height, new_width = round(height / block) * block, round(width / block) * block
        if new_height * new_width > self.max_area:
            shrink = math.sqrt(height * width / self.max_area)
            new_height = max(block, math.floor(height / shrink / block) * block)
            new_width = max(block, math.floor(width / shrink / block) * block)
        elif new_height * new_width < self.min_area:
            grow = math.sqrt(self.min_area / (height * width))
            new_height = math.ceil(height * grow / block) * block
            new_width = math.ceil(width * grow / block) * block
        return new_height, new_width

    def tokens(self, grid: Grid) -> int:
        """How many tokens of the prompt an image of this grid takes."""
        return grid[0] * grid[1] * grid[2] // self.merge**2

    def grid(self, pixels: Pixels) -> Grid:
        """The grid of patches that an RGB image will be cut into; raises ImageInvalid for any other array."""
        _check(pixels)
        height, width = self.size(*pixels.shape[:2])
        return 1, height // self.patch, width // self.patch

    def patches(self, pixels: Pixels) -> tuple[Tensor, Grid]:
        """`[H, W, 3]` uint8 RGB -> patches `[N, 588]` fp32 in merge-block order, and the grid.

        A patch is flattened as channel, row, column. Raises ImageInvalid for any other array.
        """
        _check(pixels)
        height, width = self.size(*pixels.shape[:2])
        resized = Pillow.fromarray(pixels).resize((width, height), Pillow.Resampling.BICUBIC)
        scaled = np.asarray(resized, dtype=np.float32) * np.float32(1 / 255)
        normal = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        rows, columns = height // self.patch, width // self.patch
        cut = normal.reshape(
            rows // self.merge, self.merge, self.patch, columns // self.merge, self.merge, self.patch, 3
        )
        flat = cut.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, -1)
        return torch.from_numpy(np.ascontiguousarray(flat)), (1, rows, columns)


def _settings(directory: Path) -> Mapping[str, Any]:
    for name, key in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        if (directory / name).exists():
            raw = read_json(directory / name)
            found = raw if key is None else raw.get(key)
            if found is not None:
                return found
    return {}


def _check(pixels: Pixels) -> None:
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise ImageInvalid("pixels are not a uint8 array", "convert the image to 8-bit RGB first")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        shape = "one image at a time (a video is not supported)" if pixels.ndim == 4 else "[height, width, 3]"
        raise ImageInvalid(f"pixels have the shape {list(pixels.shape)}", f"pass {shape}")
