"""Golden images: pictures of good parts that lie beside a recipe and are shown before the frame."""

from pathlib import Path

from schemas.recipe import GoldenImage
from services.infra.intake.images import Rgb
from services.infra.intake.picture import read_picture
from services.infra.process.errors import FrameInvalid, FrameTooLarge, LynceusError

MAX_GOLDEN_BYTES = 10_000_000
MAX_GOLDEN_PIXELS = 4_000_000
"""Beyond what a model of 28 x 28 pixels a token makes use of, and little enough to keep in memory."""


def read_golden(folder: Path, golden: GoldenImage) -> tuple[GoldenImage, Rgb]:
    """The golden image with its digest, and its pixels [H, W, 3].

    Raises the typed errors of `images`, FrameTooLarge over 4 megapixels or 10 MB, FrameInvalid for a file
    that cannot be read or is not the one that the digest speaks of.
    """
    picture = read_picture(_bytes_of(folder / golden.file))
    if golden.digest not in {None, picture.digest}:
        raise FrameInvalid(
            f"the file has digest {picture.digest}, the recipe speaks of {golden.digest}",
            hint="bring the file back, or raise the recipe's version",
        )
    if picture.width * picture.height > MAX_GOLDEN_PIXELS:
        raise _too_large(f"{picture.width} x {picture.height} pixels")
    return golden.model_copy(update={"digest": picture.digest}), picture.rgb


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_GOLDEN_BYTES:
            raise _too_large(f"{size} bytes")
        return path.read_bytes()
    except OSError as error:
        raise FrameInvalid(
            f"cannot be read: {error.strerror}", hint="put the image there, or remove the line"
        ) from error


def _too_large(found: str) -> LynceusError:
    return FrameTooLarge(
        f"{found}; a golden image has at most {MAX_GOLDEN_PIXELS // 1_000_000} megapixels "
        f"and {MAX_GOLDEN_BYTES // 1_000_000} MB",
        hint="scale or compress the image",
    )
