"""Evidence for a recipe, from a calibration: its standing follows from that and nothing else."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from schemas.evidence import Evidence
from services.teach.calibration.calibrate import Calibration


def evidence_of(
    calibration: Calibration,
    *,
    scores: Literal["out-of-fold", "held-out"],
    data_digest: str,
    taught_digest: str | None,
    by: str,
    moment: datetime,
) -> Evidence:
    """The evidence block of a recipe version."""
    good, bad = calibration.good_parts, calibration.bad_parts
    return Evidence(
        measured_at=moment,
        by=by,
        scores=scores,
        data_digest=data_digest,
        taught_digest=taught_digest,
        accept_below=calibration.accept_below,
        reject_from=calibration.reject_from,
        confidence=calibration.confidence,
        good_parts=good,
        bad_parts=bad,
        overkills=calibration.overkill.count,
        escapes=calibration.escapes.count,
        overkill_bound=round(calibration.overkill.bound, 6) if good else None,
        escape_bound=round(calibration.escapes.bound, 6) if bad else None,
        review_share=round(calibration.review_good or 0.0, 6),
        max_escape=calibration.max_escape,
        max_overkill=calibration.max_overkill,
    )


def data_digest(pictures: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over the labels and file digests of pictures, whatever their order and names."""
    whole = hashlib.sha256()
    for label, digest in sorted(pictures):
        whole.update(label.encode() + b"\0" + digest)
    return whole.hexdigest()
