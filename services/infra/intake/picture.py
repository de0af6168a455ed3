"""One picture of a part: hashed, decoded and turned grey once, where it comes in."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from schemas.frame import FrameRef, MediaType
from services.infra.intake import images
from services.infra.intake.images import Grey, Rgb


@dataclass(frozen=True, eq=False)
class Picture:
    """An encoded image and its pixels."""

    data: bytes
    """As it was encoded; what is kept."""
    digest: str
    """SHA-256 of `data`, in hexadecimal."""
    media_type: MediaType
    rgb: Rgb
    """Upright, [height, width, 3]."""

    @property
    def width(self) -> int:
        """Pixels of a row."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.rgb.shape[0])

    @cached_property
    def grey(self) -> Grey:
        """The luma of the pixels, [height, width]."""
        return images.to_grey(self.rgb)

    def frame(self, captured_at: datetime) -> FrameRef:
        """What a job says of this picture."""
        return FrameRef(
            digest=self.digest,
            media_type=self.media_type,
            width=self.width,
            height=self.height,
            size_bytes=len(self.data),
            captured_at=captured_at,
        )


def read_picture(data: bytes) -> Picture:
    """The picture of an encoded image; raises what `images.decode` raises."""
    return Picture(data, hashlib.sha256(data).hexdigest(), images.media_type(data), images.decode(data))


def encode_picture(rgb: Rgb) -> Picture:
    """The picture of pixels from a camera: PNG, which loses nothing and is the same for the same pixels.

    Raises ValueError for anything but uint8 [height, width, 3].
    """
    data = images.encode_png(rgb)
    return Picture(data, hashlib.sha256(data).hexdigest(), "image/png", rgb)
