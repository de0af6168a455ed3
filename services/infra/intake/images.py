"""The one door for pixels: the header is checked before anything is decoded, and colour is RGB behind it."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from schemas.frame import MAX_FRAME_BYTES, MAX_PIXELS, MAX_SIDE_PIXELS, MediaType
from services.infra.process.errors import FrameInvalid, FrameTooLarge, FrameTruncated, UnsupportedImage

Rgb: TypeAlias = NDArray[np.uint8]
"""Pixels [height, width, 3], red first, contiguous."""

Grey: TypeAlias = NDArray[np.uint8]
"""Pixels [height, width]."""

_MAGIC: tuple[tuple[bytes, str, MediaType], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG", "image/png"),
    (b"\xff\xd8\xff", "JPEG", "image/jpeg"),
    (b"BM", "BMP", "image/bmp"),
    (b"II*\x00", "TIFF", "image/tiff"),
    (b"MM\x00*", "TIFF", "image/tiff"),
    (b"RIFF", "WEBP", "image/webp"),
)
_TAKEN = "PNG, JPEG, BMP, TIFF or WEBP"

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})

# EXIF 2.3, tag 0x0112: what turns the stored picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})

# What Pillow's readers raise on malformed bytes; they have no common base.
_READER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture at a glance: upright size, how it is stored, and a small grey copy."""

    width: int
    height: int
    bits: int
    """Bits of one stored grey value: 8 or 16."""
    turned: bool
    """Whether EXIF asks for the stored picture to be turned."""
    grey: Grey
    """[side, side], the whole picture squeezed into a square, upright."""
    brightest: int
    """Highest stored grey value of a 16-bit picture, of the small copy for the others."""


def require_bytes(size: int) -> None:
    """Returns where an encoded image of so many bytes may be taken. Raises FrameTooLarge."""
    if size > MAX_FRAME_BYTES:
        raise _too_large(f"the file has {size} bytes, more than {MAX_FRAME_BYTES}")


def media_type(data: bytes) -> MediaType:
    """The kind of an encoded image, from its magic bytes. Raises FrameTruncated, UnsupportedImage."""
    return _kind(data)[1]


def decode(data: bytes) -> Rgb:
    """Decode to upright RGB, uint8 [height, width, 3].

    Grey is repeated, 16-bit grey is scaled from 0..65535 to 0..255, palettes and CMYK are converted, and
    alpha is dropped: the colour that was recorded is kept. Raises, before a pixel is decoded, FrameTruncated
    for no bytes, UnsupportedImage for another kind of file, several pictures in one or an exotic pixel type,
    FrameTooLarge above 25 megapixels, 8192 a side or 256 MiB, FrameInvalid for a header that does not
    parse; and FrameTruncated or FrameInvalid when the pixels do not decode.
    """
    with _opened(data) as image:
        orientation = _orientation(image)
        image.load()
        upright = image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
        return _to_rgb(upright)


def preview(data: bytes, side: int) -> Preview:
    """Read a picture to its end at a fraction of the cost of `decode`: a JPEG is decoded reduced.

    Raises what `decode` raises; a picture that gives a preview decodes.
    """
    with _opened(data) as image:
        orientation = _orientation(image)
        width, height = image.size[::-1] if orientation in _SIDEWAYS else image.size
        is_wide = image.mode in _SIXTEEN_BIT_MODES
        image.draft("L", (2 * side, 2 * side))
        image.load()
        brightest = int(np.asarray(image).max()) if is_wide else None
        grey = Image.fromarray(_to_rgb(image)[..., 0]) if is_wide else _grey(image)
        small = grey.resize((side, side), Image.Resampling.BOX)
        upright = small.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else small
        pixels = np.array(upright, dtype=np.uint8)
        bits, turned = (16 if is_wide else 8), orientation != 1
        return Preview(
            width, height, bits, turned, pixels, int(pixels.max()) if brightest is None else brightest
        )


def encode_png(rgb: Rgb) -> bytes:
    """Encode uint8 [height, width, 3] RGB losslessly. Raises ValueError for another shape or type."""
    _check_pixels(rgb)
    buffer = io.BytesIO()
    # Level 1: a frame is written once on the line's time and read once; size matters less than delay.
    Image.fromarray(rgb).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def from_bgr(bgr: NDArray[np.uint8]) -> Rgb:
    """RGB from OpenCV's blue-first pixels, contiguous. Raises ValueError for another shape or type."""
    _check_pixels(bgr)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def to_grey(rgb: Rgb) -> Grey:
    """Luma (ITU-R BT.601) of RGB pixels."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    require_bytes(len(data))
    kind, _ = _kind(data)
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            _check_size(*image.size)
            _check_content(image)
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(str(error)) from error
    except _READER_ERRORS as error:
        raise _unreadable(kind, error) from error


def _kind(data: bytes) -> tuple[str, MediaType]:
    if not data:
        raise FrameTruncated("the image holds 0 bytes", hint="send the file's content, not an empty body")
    for magic, kind, media_type in _MAGIC:
        if data.startswith(magic) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind, media_type
    raise UnsupportedImage(
        f"the bytes begin with {data[:8]!r}, which is none of {_TAKEN}", hint=f"send a {_TAKEN} file"
    )


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise FrameInvalid(f"the header says {width} x {height} pixels", hint="export the image again")
    if max(width, height) > MAX_SIDE_PIXELS or width * height > MAX_PIXELS:
        raise _too_large(f"the header says {width} x {height} pixels")


def _check_content(image: Image.Image) -> None:
    # A JPEG with previews behind it (MPO) is what many cameras write; its first picture is the picture.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise UnsupportedImage(
            "the file holds several pictures (animation or pages)", hint="send each picture as its own file"
        )
    if image.mode not in _EIGHT_BIT_MODES | _SIXTEEN_BIT_MODES:
        raise UnsupportedImage(
            f"pixel type {image.mode!r} is not taken", hint="save as 8-bit colour or grey, or as 16-bit grey"
        )


def _too_large(detail: str) -> FrameTooLarge:
    return FrameTooLarge(
        f"{detail}; at most {MAX_PIXELS // 1_000_000} megapixels and {MAX_SIDE_PIXELS} a side are taken",
        hint="crop or scale the image before sending it",
    )


def _unreadable(kind: str, error: BaseException) -> FrameInvalid:
    if "truncated" in str(error).lower():
        return FrameTruncated(
            f"the {kind} ends before its last pixel: {error}", hint="send the file again once it is complete"
        )
    return FrameInvalid(f"the {kind} cannot be decoded: {error}", hint="export the image again")


def _orientation(image: Image.Image) -> int:
    # Pillow turns TIFF upright itself while it loads, and gives the upright size before.
    if image.format == "TIFF":
        return 1
    # The base class's getexif: PNG's own would decode all pixels to look for EXIF behind them.
    return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))


def _to_rgb(image: Image.Image) -> Rgb:
    if image.mode in _SIXTEEN_BIT_MODES:
        wide = np.asarray(image).astype(np.uint32)
        grey = ((wide * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if image.mode in {"P", "PA", "LA"}:
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _grey(image: Image.Image) -> Image.Image:
    return image.convert("RGB").convert("L") if image.mode in {"P", "PA"} else image.convert("L")


def _check_pixels(pixels: NDArray[np.uint8]) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, not uint8 [height, width, 3]")
