"""The line of the event feed that each step of a job makes."""

from datetime import datetime

from schemas.job import InspectionJob
from schemas.report import DiagnosisReport
from schemas.verdict import Verdict
from services.infra.stores.ledger.records import Entry, Event, EventKind

UNNUMBERED = "0"
"""Stands for the id until the store gives one."""


def accepted(job: InspectionJob, moment: datetime) -> Event:
    """Tells that a job was taken."""
    return Event(
        event_id=UNNUMBERED,
        kind=EventKind.ACCEPTED,
        result_id=job.result_id,
        part_id=job.part.part_id,
        station_id=job.part.station_id,
        camera_id=job.part.camera_id,
        recipe_id=job.part.recipe_id,
        moment=moment,
    )


def decided(verdict: Verdict) -> Event:
    """Tells the verdict on a part."""
    return Event(
        event_id=UNNUMBERED,
        kind=EventKind.VERDICT,
        result_id=verdict.result_id,
        part_id=verdict.part.part_id,
        station_id=verdict.part.station_id,
        camera_id=verdict.part.camera_id,
        recipe_id=verdict.part.recipe_id,
        moment=verdict.creation_time,
        decision=verdict.decision,
        defect_class=verdict.defect_class,
        defect_probability=verdict.defect_probability,
    )


def reported(report: DiagnosisReport) -> Event:
    """Tells that a report was written."""
    return Event(
        event_id=UNNUMBERED,
        kind=EventKind.REPORT,
        result_id=report.result_id,
        part_id=report.part.part_id,
        station_id=report.part.station_id,
        camera_id=report.part.camera_id,
        recipe_id=report.part.recipe_id,
        moment=report.creation_time,
        decision=report.decision,
        defect_class=report.defect_class,
    )


def given_up(entry: Entry, verdict: Verdict | None, moment: datetime) -> Event:
    """Tells that a job was given up."""
    return Event(
        event_id=UNNUMBERED,
        kind=EventKind.DEAD,
        result_id=entry.job.result_id,
        part_id=entry.job.part.part_id,
        station_id=entry.job.part.station_id,
        camera_id=entry.job.part.camera_id,
        recipe_id=entry.job.part.recipe_id,
        moment=moment,
        decision=verdict.decision if verdict is not None else None,
    )
