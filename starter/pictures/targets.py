"""What the model is to answer: prompts, reasoning and report for a sample."""

import json

from starter.pictures.facts import FACTS
from starter.pictures.samples import GOOD, Box, Sample

CANNOT_TELL = "cannot tell"

SMALL, LARGE = 0.12, 0.35
"""The longer side of a box as a share of the picture: small below the first, large from the second."""

MOST_PLACES = 3
ROWS = ("upper", "middle", "lower")
COLUMNS = ("left", "middle", "right")


def inspect_text(part: str, classes: tuple[str, ...]) -> str:
    """The words before the frame when a class is asked for."""
    return f"Inspect the {part}. Answer with one of: {', '.join(classes)}."


def diagnose_text(part: str, classes: tuple[str, ...]) -> str:
    """The words before the frame when a report is asked for."""
    return f"Diagnose the {part}. Defects looked for: {', '.join(classes)}. Write the report."


def _third(position: float) -> int:
    return min(2, int(position * 3))


def place(box: Box) -> str:
    """The ninth of the picture that a box has its centre in, such as `upper left`."""
    row, column = ROWS[_third((box.y0 + box.y1) / 2)], COLUMNS[_third((box.x0 + box.x1) / 2)]
    return "centre" if row == column == "middle" else f"{row} {column}"


def where(boxes: tuple[Box, ...]) -> str:
    """Up to three places, from the top left on; `cannot tell` without boxes."""
    ordered = sorted(boxes, key=lambda box: (box.y0 + box.y1, box.x0 + box.x1))
    places = list(dict.fromkeys(place(box) for box in ordered))
    return " and ".join(places[:MOST_PLACES]) or CANNOT_TELL


def extent(boxes: tuple[Box, ...]) -> str:
    """How large the largest box is: small, medium or large."""
    longest = max(max(box.x1 - box.x0, box.y1 - box.y0) for box in boxes)
    return "small" if longest < SMALL else "large" if longest >= LARGE else "medium"


def reasoning(sample: Sample) -> str:
    """Two to four short sentences that lead from what is seen to the class."""
    opening = f"This is a {sample.part}."
    if sample.label == GOOD:
        return f"{opening} I see no deviation. So the class is {GOOD}."
    look = FACTS[sample.label].look
    if not sample.boxes:
        return f"{opening} I see {look}. So the class is {sample.label}."
    size = extent(sample.boxes)
    return f"{opening} I see {look}: {where(sample.boxes)}. It is {size}. So the class is {sample.label}."


def report(sample: Sample) -> dict[str, object]:
    """The diagnosis, its keys in the order in which the model writes them."""
    fact = FACTS[sample.label]
    good = sample.label == GOOD
    return {
        "defect": "none" if good else sample.label,
        "where": "none" if good else where(sample.boxes),
        "severity": fact.severity,
        "evidence": list(fact.evidence),
        "probable_causes": [{"cause": cause, "likelihood": likelihood} for cause, likelihood in fact.causes],
        "containment": fact.containment,
        "corrective_actions": list(fact.actions),
    }


def report_json(sample: Sample) -> str:
    """The report without spaces between its marks."""
    return json.dumps(report(sample), separators=(",", ":"))
