"""What each section of the measurements on a GPU is given: device, clock, randomness, sizes and rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.full_size.layout import CONFIG
from bench.gpu.clock import Clock
from bench.gpu.network import TINY
from bench.gpu.rows import Rows
from engine.checkpoint.config import ModelConfig, TextConfig
from engine.format.layout import ROWS_PER_BYTE, SEGMENT
from engine.kernels.cuda.launch import Launcher

WINDOW_BITS = 16


@dataclass(frozen=True)
class Sizes:
    """How much is measured: the 28B model on a GPU, next to nothing where the program itself is tried."""

    config: Mapping[str, Any]
    few: tuple[int, ...]
    many: int
    square: int
    copied: int
    repeats: int
    segments: int
    side: int
    batches: tuple[int, ...]
    streams: tuple[int, ...]
    prompt: int
    steps: int

    @property
    def text(self) -> TextConfig:
        """The decoder's sizes."""
        return ModelConfig.from_json(self.config).text


FULL = Sizes(
    config=CONFIG,
    few=(1, 2, 4, 8),
    many=2048,
    square=8192,
    copied=1 << 30,
    repeats=30,
    segments=1536,
    side=448,
    batches=(1, 8, 32),
    streams=(1, 2, 4, 8, 16),
    prompt=2048,
    steps=32,
)
SMALL = Sizes(
    config=TINY,
    few=(1, 2),
    many=24,
    square=64,
    copied=1 << 16,
    repeats=3,
    segments=2,
    side=56,
    batches=(1, 2),
    streams=(1, 2),
    prompt=32,
    steps=3,
)


@dataclass(frozen=True, eq=False)
class Setting:
    """One section's surroundings; `draw` makes random numbers on the device."""

    device: torch.device
    clock: Clock
    draw: torch.Generator
    sizes: Sizes
    rows: Rows
    seed: int

    @property
    def on_gpu(self) -> bool:
        """Whether the CUDA kernels run; without them their references do, to try the program."""
        return self.device.type == "cuda"

    @property
    def launcher(self) -> Launcher:
        """Runs single kernels on the GPU."""
        from engine.kernels.cuda import launcher

        return launcher.of(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """What hidden states are kept in."""
        return torch.bfloat16 if self.on_gpu else torch.float32

    def normal(self, *shape: int) -> Tensor:
        """Gaussian hidden states."""
        return torch.randn(shape, generator=self.draw, device=self.device).to(self.dtype)

    def whole(self, low: int, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        """Integers from `low` to below `high`."""
        return torch.randint(low, high, shape, generator=self.draw, device=self.device, dtype=dtype)

    def signs(self, rows: int) -> Tensor:
        """`[rows]` of +1 and -1."""
        return (self.whole(0, 2, rows) * 2 - 1).to(torch.int8)

    def chosen(self, tokens: int, top_k: int, experts: int) -> Tensor:
        """Different experts for each token, `[tokens, top_k]`."""
        return torch.rand(tokens, experts, generator=self.draw, device=self.device).topk(top_k).indices

    def weights(self, tokens: int, top_k: int) -> Tensor:
        """Their weights, which sum to one."""
        random = torch.rand(tokens, top_k, generator=self.draw, device=self.device)
        return random / random.sum(-1, keepdim=True)

    def stack(self, experts: int, channels: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Random codes, scales and signs of a 2-bit stack, such that a product is as large as its input."""
        shape = (experts, channels // SEGMENT, rows // ROWS_PER_BYTE, SEGMENT)
        codes = self.whole(0, 256, *shape, dtype=torch.uint8)
        spread = torch.rand(experts, channels, generator=self.draw, device=self.device) + 0.5
        return codes, (spread * (rows**-0.5 / 6.5)).half(), self.signs(rows)


class Part(NamedTuple):
    """One measurement, or several that hang together, and the names of its figures that have a target."""

    run: Callable[[Setting], None]
    targets: tuple[str, ...] = ()
