"""The figures of an evaluation, as JSON and as the page shows them."""

from schemas.base import Digest, Message, Timestamp
from services.teach.evaluation.intervals import CONFIDENCE, upper_bound, wilson


class Rate(Message):
    """Counted mistakes among parts, with Wilson's two-sided interval and the exact one-sided bound (95 %)."""

    count: int
    total: int
    share: float | None
    """None where there is nothing to count."""
    low: float
    high: float
    bound: float

    @classmethod
    def of(cls, count: int, total: int) -> "Rate":
        """The rate of a count."""
        low, high = wilson(count, total, CONFIDENCE)
        share = count / total if total else None
        return cls(count=count, total=total, share=share, low=low, high=high, bound=upper_bound(count, total))


class ClassFigures(Message):
    """One class: how many pictures show it, how many were named so, and how many of both."""

    label: str
    acceptable: bool
    pictures: int
    named: int
    right: int
    precision: float | None
    recall: float | None
    recall_low: float
    recall_high: float
    """Wilson's interval of the recall."""


class Point(Message):
    """A point of a curve."""

    x: float
    y: float


class ReliabilityBin(Message):
    """Pictures whose highest probability lies in one tenth: how sure they were, and how often right."""

    low: float
    high: float
    pictures: int
    confidence: float
    accuracy: float


class Slice(Message):
    """The same rates on some of the pictures."""

    by: str
    """camera, lot or brightness."""
    value: str
    pictures: int
    escapes: Rate
    overkill: Rate
    right: Rate
    """Pictures named rightly."""


class Mistake(Message):
    """A picture that was judged wrongly, or as nearly so as any."""

    file: str
    truth: str
    named: str
    defect_probability: float
    kind: str
    """escape, overkill or confusion."""


class Evaluation(Message):
    """How well a recipe judges a folder of labelled pictures."""

    recipe: str
    version: int
    taught_digest: Digest | None
    folder: str
    measured_at: Timestamp
    scores: str
    """held-out, out-of-fold, or taught: pictures the artefact was taught with prove nothing."""
    pictures: int
    accept_below: float
    reject_from: float
    balanced_accuracy: float
    """Mean recall over the classes that have pictures."""
    escapes: Rate
    """Bad parts that were accepted."""
    overkill: Rate
    """Good parts that were rejected."""
    review: Rate
    """Parts that a person must look at."""
    classes: tuple[ClassFigures, ...]
    confusion: dict[str, dict[str, int]]
    """`confusion[truth][named]` counts pictures."""
    auroc: float | None
    average_precision: float | None
    """Of the defect probability; None with one kind of part alone."""
    roc: tuple[Point, ...]
    precision_recall: tuple[Point, ...]
    reliability: tuple[ReliabilityBin, ...]
    calibration_error: float
    """Expected calibration error over ten equal bins (Guo et al. 2017)."""
    slices: tuple[Slice, ...]
    worst: tuple[Mistake, ...]
    """The worst first."""
    map_auroc: float | None = None
    """Area under ROC of the anomaly maps' pixels where masks are given."""
