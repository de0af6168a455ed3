"""Rotary positions (Su et al. 2021): 3-D for the decoder, 2-D for the vision tower.

T tokens, N patches, D head size
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.checkpoint.config import ModelConfig
from engine.kernels import FusedKernels, fused_kernels_for

VISION_THETA = 10000.0

Grid = tuple[int, int, int]
"""Frames, patch rows and patch columns of one image."""


def image_spans(
    token_ids: Sequence[int], grids: Sequence[Grid], config: ModelConfig
) -> list[tuple[int, Grid]]:
    """Pair each run of image placeholders with its grid: `(first index, grid)` in order of the prompt."""
    spans, index = [], 0
    merge = config.vision.spatial_merge_size
    for grid in grids:
        while token_ids[index] != config.image_token_id:
            index += 1
        spans.append((index, grid))
        index += grid[0] * grid[1] * grid[2] // merge**2
    return spans


def text_positions(
    token_ids: Sequence[int], grids: Sequence[Grid], config: ModelConfig
) -> tuple[Tensor, int]:
    """Positions `[3, T]` (time, row, column) of a prompt, and the position that the next token takes.

    A text token advances all three axes by one; an image keeps its time and spreads rows and columns from the
    position where it starts, and the text after it goes on behind the longer side.
    """
    positions = torch.empty(3, len(token_ids), dtype=torch.long)
    merge = config.vision.spatial_merge_size
    index, position = 0, 0
    for start, (frames, grid_rows, grid_columns) in image_spans(token_ids, grids, config):
        position = _count_up(positions, index, start, position)
        rows, columns = grid_rows // merge, grid_columns // merge
        index = start + frames * rows * columns
        positions[0, start:index] = position
        positions[1, start:index] = position + torch.arange(rows).repeat_interleave(columns)
        positions[2, start:index] = position + torch.arange(columns).repeat(rows)
        position += max(rows, columns)
    return positions, _count_up(positions, index, len(token_ids), position)


def _count_up(positions: Tensor, start: int, end: int, position: int) -> int:
    positions[:, start:end] = torch.arange(position, position + end - start)
    return position + end - start


def text_rotation(positions: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[T, D]` in fp32 for positions `[3, T]`.

    Of the D/2 frequency pairs the first ones alternate between row and column, the last (lowest) carry time.
    """
    text = config.text
    pairs = torch.arange(text.head_dim // 2, device=positions.device)
    frequencies = text.rope_theta ** (-2.0 * pairs.double() / text.head_dim)
    spatial = text.rope_section[0] + text.rope_section[1]
    axis = torch.where(pairs >= spatial, 0, 1 + pairs % 2)
    angles = positions[axis].T.float() * frequencies.float()
    angles = angles.repeat_interleave(2, dim=-1)
    return angles.cos(), angles.sin()


def rotate_adjacent(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the dims (2i, 2i+1) of `[T, heads, D]` by the angles `[T, D]`, in fp32."""
    if (kernels := _kernels_for(x)) is not None:
        return kernels.rotate(x, cos, sin, neighbours=True)
    wide = x.float()
    turned = torch.stack((-wide[..., 1::2], wide[..., 0::2]), dim=-1).flatten(-2)
    return (wide * cos[:, None] + turned * sin[:, None]).to(x.dtype)


def vision_rotation(
    grids: Sequence[Grid], head_dim: int, merge: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[N, D]` in fp32 for the patches of all images, in merge-block order."""
    quarter = head_dim // 4
    frequencies = VISION_THETA ** (-torch.arange(quarter, device=device).double() / quarter)
    places = torch.cat([_patch_places(grid, merge) for grid in grids]).to(device)
    angles = (places[:, :, None].float() * frequencies.float()).flatten(1)
    angles = angles.repeat(1, 2)
    return angles.cos(), angles.sin()


def _patch_places(grid: Grid, merge: int) -> Tensor:
    """Row and column `[N, 2]` of each patch: blocks row by row, inside a block row by row, in each frame."""
    frames, rows, columns = grid
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    blocks = place.view(rows // merge, merge, columns // merge, merge, 2).transpose(1, 2)
    return blocks.reshape(-1, 2).repeat(frames, 1)


def rotate_halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the dims (j, j + D/2) of `[N, heads, D]` by the angles `[N, D]`, in fp32."""
    if (kernels := _kernels_for(x)) is not None:
        return kernels.rotate(x, cos, sin, neighbours=False)
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (wide * cos[:, None] + turned * sin[:, None]).to(x.dtype)


def _kernels_for(x: Tensor) -> FusedKernels | None:
    """The kernels that rotate in one pass, where nothing has to be derived from it."""
    kernels = fused_kernels_for(x.device)
    if kernels is None or not kernels.can_rotate(x) or (x.requires_grad and torch.is_grad_enabled()):
        return None
    return kernels
