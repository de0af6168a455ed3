"""How far two pictures lie apart."""

import cv2
import numpy as np
from numpy.typing import NDArray


def shift_between(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float, float]:
    """How far `other` lies to the right of and below `one` [H, W] in pixels, and how sure that is: 0 to 1."""
    window = cv2.createHanningWindow(one.shape[::-1], cv2.CV_32F)
    # OpenCV 5 multiplies the window into what it is given.
    (across, down), response = cv2.phaseCorrelate(one.copy(), other.copy(), window)
    return across, down, response
