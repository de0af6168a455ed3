"""What looked odd is drawn where it is, and nothing else changes colour."""

import base64
import io

import numpy as np
from PIL import Image

from schemas.verdict import AnomalyMap, Box
from services.web.marked_picture import marked_picture


def grey_png(values: np.ndarray) -> bytes:
    """A map as it is kept: a grey PNG, in base64."""
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue())


def test_only_the_odd_place_turns_red() -> None:
    """The map covers the looked-at rectangle alone, so a hot corner of it is not a corner of the frame."""
    odd = np.zeros((8, 8))
    odd[:4, :4] = 255
    area = Box(x=100, y=0, width=100, height=100)
    frame = np.full((100, 200, 3), 128, np.uint8)
    picture = Image.open(io.BytesIO(marked_picture(frame, AnomalyMap(area=area, png=grey_png(odd)))))
    drawn = np.asarray(picture, np.int16)
    redness = drawn[..., 0] - drawn[..., 2]
    assert redness[10:30, 110:130].min() > 60
    assert np.abs(redness[:, :80]).max() < 12
    assert np.abs(redness[70:, 170:]).max() < 12


def test_the_oddest_region_has_its_rectangle() -> None:
    """In a large frame the picture is made smaller, and the rectangle with it."""
    box = Box(x=500, y=500, width=1000, height=1000)
    seen = AnomalyMap(
        area=Box(x=0, y=0, width=2000, height=2000), png=grey_png(np.zeros((4, 4))), hottest=box
    )
    frame = np.zeros((2000, 2000, 3), np.uint8)
    picture = Image.open(io.BytesIO(marked_picture(frame, seen)))
    assert picture.size == (1000, 1000)
    column = np.asarray(picture)[500, :, 0]
    assert column[248:275].max() > 150
    assert column[300:700].max() < 40
