"""The image-quality gate: whether a frame can be judged at all."""

import cv2

from schemas.recipe import FrameLimits
from services.infra.intake.images import Grey
from services.infra.intake.picture import Picture


def sharpness(grey: Grey) -> float:
    """Variance of the Laplacian of uint8 [H, W]; low for a blurred image (Pech-Pacheco et al. 2000)."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(deviation[0, 0]) ** 2


def unusable_reason(picture: Picture, limits: FrameLimits) -> str | None:
    """Why a picture is not fit to be judged by a recipe's limits, in words; None when it is."""
    width, height = picture.width, picture.height
    if width < limits.min_width or height < limits.min_height:
        return (
            f"wrong size: {width} x {height} pixels, at least {limits.min_width} x {limits.min_height} needed"
        )
    if (brightness := float(picture.grey.mean())) < limits.min_brightness:
        return f"dark: mean grey value {brightness:.1f}, at least {limits.min_brightness:g} needed"
    if (found := sharpness(picture.grey)) < limits.min_sharpness:
        return f"blurred: sharpness {found:.2f}, at least {limits.min_sharpness:g} needed"
    return None
