"""The image-quality gate: whether a frame can be judged at all."""

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.recipe import FrameLimits


def to_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (ITU-R BT.601) of RGB uint8 [H, W, 3] as uint8 [H, W]."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def sharpness(grey: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of uint8 [H, W]; low for a blurred image (Pech-Pacheco et al. 2000)."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(deviation[0, 0]) ** 2


def unusable_reason(pixels: NDArray[np.uint8], limits: FrameLimits) -> str | None:
    """Why RGB uint8 [H, W, 3] is not fit to be judged by a recipe's limits, in words; None when it is."""
    height, width = pixels.shape[:2]
    if width < limits.min_width or height < limits.min_height:
        return (
            f"wrong size: {width} x {height} pixels, at least {limits.min_width} x {limits.min_height} needed"
        )
    grey = to_grey(pixels)
    if (brightness := float(grey.mean())) < limits.min_brightness:
        return f"dark: mean grey value {brightness:.1f}, at least {limits.min_brightness:g} needed"
    if (found := sharpness(grey)) < limits.min_sharpness:
        return f"blurred: sharpness {found:.2f}, at least {limits.min_sharpness:g} needed"
    return None
