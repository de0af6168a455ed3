"""A reference to an encoded image; pixels never travel in a message."""

from typing import Literal

from pydantic import Field

from schemas.base import Digest, Message, Timestamp

MAX_SIDE_PIXELS = 8192
MAX_PIXELS = 25_000_000

MediaType = Literal["image/png", "image/jpeg", "image/bmp", "image/tiff", "image/webp"]


class FrameRef(Message):
    """Points at one encoded image in the frame store by the digest of its bytes."""

    digest: Digest
    media_type: MediaType
    width: int = Field(ge=1, le=MAX_SIDE_PIXELS)
    height: int = Field(ge=1, le=MAX_SIDE_PIXELS)
    size_bytes: int = Field(ge=1)
    captured_at: Timestamp
