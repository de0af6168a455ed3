"""Curves and bars as SVG elements that a page draws by itself: numbers in, coordinates out."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 40
"""Pixels around the plotting area."""

XY = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points, as the `points` of an SVG polyline."""

    points: str
    style: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A square from 0 to 1 on both axes with curves and dots in it."""

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    dots: tuple[tuple[float, float, float, str], ...] = ()
    """Centre, radius and what it is."""

    width: int = WIDTH
    height: int = HEIGHT

    @property
    def ticks(self) -> list[tuple[float, float, str]]:
        """Place across, place down and label of five ticks."""
        return [(across(t), down(t), f"{t:g}") for t in (0.0, 0.25, 0.5, 0.75, 1.0)]

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the plotting area."""
        return across(0), down(1), across(1), down(0)


def across(value: float) -> float:
    """0 to 1 as pixels from the left."""
    return round(LEFT + value * (WIDTH - LEFT - RIGHT), 1)


def down(value: float) -> float:
    """0 to 1 as pixels from the top."""
    return round(HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM), 1)


def curve(points: Sequence[XY], style: str = "line") -> Curve:
    """A curve through points of the unit square."""
    return Curve(" ".join(f"{across(x)},{down(y)}" for x, y in points), style)


def diagonal() -> Curve:
    """The line of chance in a ROC plot, of honesty in a reliability plot."""
    return curve([(0, 0), (1, 1)], "chance")
