"""What every page of teaching is made of: templates without anything from outside, and pictures as data."""

import base64
import io
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from services.infra.intake.images import Rgb, decode

THUMBNAIL = 220
"""Longest side in pixels of a picture on a page."""


@cache
def environment() -> Environment:
    """The templates; everything put into them is escaped, and a missing value is an error."""
    made = Environment(
        loader=PackageLoader("services.teach"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "figure": figure}
    return made


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage: `93.4 %`; a dash where there is none."""
    return "–" if value is None else f"{value * 100:.{digits}f} %"  # noqa: RUF001 - an en dash is meant


def figure(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"  # noqa: RUF001 - an en dash is meant


def picture_uri(path: Path) -> str:
    """A reduced copy of a picture file as a data URI. Raises what decoding raises."""
    return pixels_uri(decode(path.read_bytes()))


def pixels_uri(rgb: Rgb) -> str:
    """A reduced copy of pixels [height, width, 3] as a JPEG in a data URI."""
    image = Image.fromarray(rgb)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def with_map(rgb: Rgb, anomaly: NDArray[np.float32]) -> Rgb:
    """The picture with an anomaly map [h, w] of 0 to 1 drawn over it in red."""
    height, width = rgb.shape[:2]
    heat = Image.fromarray((np.clip(anomaly, 0.0, 1.0) * 255).astype(np.uint8))
    weight = np.asarray(heat.resize((width, height), Image.Resampling.BILINEAR), np.float32)[..., None] / 255
    red = np.array([220.0, 30.0, 20.0], np.float32)
    return np.asarray(rgb * (1 - 0.6 * weight) + red * (0.6 * weight), np.uint8)
