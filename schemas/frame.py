"""A reference to an encoded image; pixels never travel in a message."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Digest, Message, Timestamp

MAX_SIDE_PIXELS = 8192
"""Longest side of a frame; together with MAX_PIXELS it bounds the memory that decoding can take."""

MAX_PIXELS = 25_000_000
"""Width times height of a frame: the 25 megapixels of today's large inspection cameras."""

MAX_FRAME_BYTES = 256 * 2**20
"""Bytes of an encoded frame: 25 megapixels of four 16-bit channels fit, and a Redis value may have 512 MB."""

MediaType = Literal["image/png", "image/jpeg", "image/bmp", "image/tiff", "image/webp"]
"""The encodings a frame may arrive in."""


class FrameRef(Message):
    """Points at one encoded image in the frame store by the digest of its bytes.

    `width` and `height` are in pixels as the file's header says, before any EXIF rotation.
    """

    digest: Digest
    """SHA-256 of the encoded bytes."""
    media_type: MediaType
    width: int = Field(ge=1, le=MAX_SIDE_PIXELS)
    height: int = Field(ge=1, le=MAX_SIDE_PIXELS)
    size_bytes: int = Field(ge=1)
    captured_at: Timestamp
    """When the camera took it, or when the gateway received it where the camera does not say."""

    @model_validator(mode="after")
    def _within_the_pixel_cap(self) -> Self:
        if self.width * self.height > MAX_PIXELS:
            raise ValueError(f"{self.width} x {self.height} is more than {MAX_PIXELS} pixels")
        return self
