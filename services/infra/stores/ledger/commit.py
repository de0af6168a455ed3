"""How a delivery ends: the arguments of the one script that writes a result and takes the entry away."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from schemas.base import Message
from schemas.job import DiagnosisJob
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Verdict
from services.infra.process import names
from services.infra.process.names import Queue
from services.infra.stores.ledger import events
from services.infra.stores.ledger.records import (
    AlreadyCommitted,
    Committed,
    DeadLetter,
    Entry,
    Event,
    Stage,
)
from services.infra.stores.ledger.streams import ENTRIES_KEPT, dead_letter


@dataclass(frozen=True, slots=True)
class Ending:
    """How a delivery ends: from which stage to which, with what results, and what follows."""

    expected: Stage
    reached: Stage
    event: Event
    results: dict[str, Message]
    diagnosis: DiagnosisJob | None = None
    dead_letter: DeadLetter | None = None


def decided(verdict: Verdict, diagnosis: DiagnosisJob | None) -> Ending:
    """A part gets its verdict, and waits for a report where a diagnosis is asked for."""
    return Ending(
        expected=Stage.WAITING,
        reached=Stage.DECIDED if diagnosis is None else Stage.DIAGNOSING,
        event=events.decided(verdict),
        results={"verdict": verdict},
        diagnosis=diagnosis,
    )


def reported(report: DiagnosisReport) -> Ending:
    """An escalated part gets its report."""
    return Ending(
        expected=Stage.DIAGNOSING,
        reached=Stage.REPORTED,
        event=events.reported(report),
        results={"report": report},
    )


def given_up(entry: Entry, problem: Problem, verdict: Verdict | None) -> Ending:
    """A job goes to the dead letters, an inspection with its NOT_INSPECTED verdict.

    Raises ValueError for an inspection without a verdict, since every part must end with one.
    """
    if entry.queue is Queue.INSPECT and verdict is None:
        raise ValueError("an inspection is given up with its NOT_INSPECTED verdict")
    results: dict[str, Message] = {"problem": problem}
    if verdict is not None:
        results["verdict"] = verdict
    payload = entry.job.model_dump_json()
    return Ending(
        expected=Stage.WAITING if entry.queue is Queue.INSPECT else Stage.DIAGNOSING,
        reached=Stage.DEAD,
        event=events.given_up(entry, verdict, datetime.now(UTC)),
        results=results,
        dead_letter=dead_letter(entry.job.result_id, entry.queue, entry.deliveries, problem, payload),
    )


def script_arguments(entry: Entry, ending: Ending) -> tuple[list[str], list[str | int]]:
    """Keys and arguments of the script `finish`."""
    result_id = entry.job.result_id
    keys = [
        names.queue_stream(entry.queue),
        names.job_key(result_id),
        names.RESULTS_STREAM,
        names.EVENTS_STREAM,
        names.queue_stream(Queue.DIAGNOSE),
        names.DEAD_STREAM,
    ]
    return keys, [
        names.GPU_GROUP,
        entry.entry_id,
        result_id,
        ending.expected.value,
        ending.reached.value,
        ending.event.model_dump_json(),
        ENTRIES_KEPT,
        _text(ending.diagnosis),
        _text(ending.dead_letter),
        *chain.from_iterable((field, _text(result)) for field, result in ending.results.items()),
    ]


def outcome(entry: Entry, answer: str) -> Committed | AlreadyCommitted:
    """What the script's answer says of the delivery."""
    result_id = entry.job.result_id
    return Committed(result_id) if answer == "committed" else AlreadyCommitted(result_id)


def _text(message: Message | None) -> str:
    return "" if message is None else message.model_dump_json()
