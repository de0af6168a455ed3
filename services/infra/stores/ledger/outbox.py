"""The result outbox: verdicts, reports and problems on their way to the database."""

from collections.abc import Sequence

from pydantic import ValidationError

from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Verdict
from services.infra.process import names
from services.infra.stores.ledger.connection import LedgerConnection
from services.infra.stores.ledger.records import ResultEntry, Stage, message_or_none
from services.infra.stores.ledger.streams import StreamReader

RECORD_KEPT_SECONDS = 86_400
"""How long the ledger remembers a job whose results are stored."""


class ResultOutbox:
    """What is written and not yet stored. Every method raises StoreUnavailable when the store is away."""

    def __init__(self, connection: LedgerConnection, lease_ms: int) -> None:
        self._connection = connection
        self._stream = StreamReader(connection, names.RESULTS_STREAM, names.RESULTS_GROUP, lease_ms)

    def read(self, consumer: str, count: int) -> list[ResultEntry]:
        """Up to `count` results to store, at once: first what another result writer left, then new ones."""
        entries = []
        for delivery in self._stream.take(consumer, count):
            try:
                entries.append(_result(delivery.entry_id, delivery.fields))
            except (ValidationError, KeyError, ValueError) as error:
                self._stream.discard(delivery, error)
        return entries

    def acknowledge(self, entries: Sequence[ResultEntry]) -> None:
        """Say that results are stored; a job that is at its end is then forgotten after one day."""
        self._connection.run(
            "acknowledge",
            [names.RESULTS_STREAM, *(names.job_key(entry.result_id) for entry in entries)],
            [names.RESULTS_GROUP, RECORD_KEPT_SECONDS, *(entry.entry_id for entry in entries)],
        )


def _result(entry_id: str, fields: dict[str, str]) -> ResultEntry:
    return ResultEntry(
        entry_id,
        fields["result_id"],
        Stage(fields["stage"]),
        verdict=message_or_none(Verdict, fields.get("verdict")),
        report=message_or_none(DiagnosisReport, fields.get("report")),
        problem=message_or_none(Problem, fields.get("problem")),
    )
