"""Confidence for counted mistakes: Wilson's interval to show, the exact binomial bound to promise."""

import math

from scipy.stats import beta, norm

CONFIDENCE = 0.95


def wilson(count: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The two-sided interval of a share (Wilson 1927); 0 to 1 where there is nothing to count."""
    if total == 0:
        return 0.0, 1.0
    z = float(norm.ppf(0.5 + confidence / 2))
    share = count / total
    scale = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    low = 0.0 if count == 0 else max(0.0, middle - half)
    return low, 1.0 if count == total else min(1.0, middle + half)


def upper_bound(count: int, total: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided exact bound of a rate (Clopper and Pearson 1934); 1 where nothing was counted."""
    if count >= total:
        return 1.0
    return float(beta.ppf(confidence, count + 1, total - count))


def parts_needed(rate: float, confidence: float = CONFIDENCE, mistakes: int = 0) -> int:
    """The fewest parts that bound a rate when so many of them are mistaken: 59 for 5 %, 299 for 1 %."""
    low, high = mistakes, max(mistakes + 1, 16)
    while upper_bound(mistakes, high, confidence) > rate:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if upper_bound(mistakes, middle, confidence) <= rate else (middle, high)
    return high
