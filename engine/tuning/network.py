"""EfficientNet-Lite as plain convolutions: the pretrained network that sees a plant's parts.

Mobile inverted bottlenecks without squeeze-and-excitation, ReLU6 throughout (Tan and Le, arXiv 1905.11946;
the Lite variants of tensorflow/tpu). The weights come from TensorFlow, so a stride of two pads below and to
the right only. Batch normalisation is folded into the convolution before it when the weights are loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import CheckpointInvalid

NORM_EPSILON = 1e-3
TAP_STAGES = (2, 4, 6)
"""Stages whose output is a tap; with the head these are strides 8, 16, 32 and 32."""
TAP_STRIDES = (8, 16, 32, 32)


class Stage(NamedTuple):
    """A run of bottlenecks; the first changes width and stride."""

    expand: int
    kernel: int
    stride: int
    channels: int
    blocks: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
"""The base network, Lite0."""
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


@dataclass(frozen=True)
class Scaling:
    """How a variant widens and deepens the base network; the first and the last stage keep their depth."""

    width: float
    depth: float

    def channels(self, base: int) -> int:
        """Width rounded to eights, never below nine tenths of what was asked for."""
        asked = base * self.width
        rounded = max(8, int(asked + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * asked else rounded

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this variant."""
        last = len(STAGES) - 1
        return tuple(
            stage._replace(
                channels=self.channels(stage.channels),
                blocks=stage.blocks if index in {0, last} else -int(-stage.blocks * self.depth // 1),
            )
            for index, stage in enumerate(STAGES)
        )


class Convolution(nn.Conv2d):
    """A convolution with bias that pads as TensorFlow's SAME does, followed by ReLU6 where asked."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        depthwise: bool = False,
        activate: bool,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=inputs if depthwise else 1)
        before = (kernel - stride) // 2
        self.margins = (before, kernel - stride - before) * 2
        self.activate = activate

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] with H and W divisible by the stride -> [B, outputs, H / stride, W / stride]."""
        padded = F.pad(x_BCHW, self.margins) if any(self.margins) else x_BCHW
        out = super().forward(padded)
        return F.relu6(out) if self.activate else out


class Bottleneck(nn.Module):
    """Expand, filter each channel by itself, project; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = inputs * stage.expand
        self.expand = Convolution(inputs, inner, activate=True) if stage.expand > 1 else None
        self.filter = Convolution(inner, inner, stage.kernel, stride, depthwise=True, activate=True)
        self.project = Convolution(inner, stage.channels, activate=False)
        self.shortcut = stride == 1 and inputs == stage.channels

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, channels, H / stride, W / stride]."""
        inner = x_BCHW if self.expand is None else self.expand(x_BCHW)
        out = self.project(self.filter(inner))
        return out + x_BCHW if self.shortcut else out


class EfficientNetLite(nn.Module):
    """The network up to its last feature map; its classifier of ImageNet classes is left out."""

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM_CHANNELS, 3, 2, activate=True)
        stages, inputs = [], STEM_CHANNELS
        for stage in scaling.stages():
            blocks = [Bottleneck(inputs, stage, stage.stride)]
            blocks += [Bottleneck(stage.channels, stage, 1) for _ in range(stage.blocks - 1)]
            stages.append(nn.Sequential(*blocks))
            inputs = stage.channels
        self.stages = nn.ModuleList(stages)
        self.head = Convolution(inputs, HEAD_CHANNELS, activate=True)
        self.tap_channels = (*(scaling.stages()[index].channels for index in TAP_STAGES), HEAD_CHANNELS)

    def forward(self, pixels_BCHW: Tensor) -> list[Tensor]:
        """Normalised RGB [B, 3, H, W], sides divisible by 32 -> one map [B, C, H / s, W / s] for each tap."""
        x, taps = self.stem(pixels_BCHW), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAP_STAGES:
                taps.append(x)
        return [*taps, self.head(x)]


def load_released(network: EfficientNetLite, released: Mapping[str, Tensor]) -> None:
    """Load a released state dict strictly, each batch normalisation folded into its convolution.

    Raises CheckpointInvalid that lists every tensor that is missing or left over.
    """
    rest = dict(released)
    missing = []
    for name, convolution, weight, norm in _sources(network):
        keys = [weight, *(f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))]
        absent = [key for key in keys if key not in rest]
        if absent:
            missing += absent
            continue
        tensors = [rest.pop(key).float() for key in keys]
        if tensors[0].shape != convolution.weight.shape:
            missing.append(f"{weight} as {name} {tuple(convolution.weight.shape)}")
            continue
        _fold(convolution, tensors)
    unused = [key for key in rest if not key.endswith("num_batches_tracked") and not key.startswith("_fc.")]
    if missing or unused:
        raise CheckpointInvalid(
            f"the pretrained weights do not fit the network: missing {missing[:8]}, left over {unused[:8]}",
            hint="install the package of the weights again",
        )


def _sources(network: EfficientNetLite) -> list[tuple[str, Convolution, str, str]]:
    """Each convolution with the released names of its weight and of the normalisation after it."""
    found = [("stem", network.stem, "_conv_stem.weight", "_bn0")]
    blocks = [block for block in network.modules() if isinstance(block, Bottleneck)]
    for index, block in enumerate(blocks):
        prefix = f"_blocks.{index}"
        if block.expand is not None:
            found.append(
                (f"{prefix} expand", block.expand, f"{prefix}._expand_conv.weight", f"{prefix}._bn0")
            )
        found.append((f"{prefix} filter", block.filter, f"{prefix}._depthwise_conv.weight", f"{prefix}._bn1"))
        found.append((f"{prefix} project", block.project, f"{prefix}._project_conv.weight", f"{prefix}._bn2"))
    return [*found, ("head", network.head, "_conv_head.weight", "_bn1")]


@torch.no_grad()
def _fold(convolution: Convolution, tensors: list[Tensor]) -> None:
    weight, gain, shift, mean, variance = tensors
    factor = gain / torch.sqrt(variance + NORM_EPSILON)
    assert convolution.bias is not None
    convolution.weight.copy_(weight * factor[:, None, None, None])
    convolution.bias.copy_(shift - mean * factor)
