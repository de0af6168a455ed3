"""The report queue: escalated parts become written reports, several at once, beside the verdicts."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from pydantic import ValidationError

from engine import Completion, EngineClosed, EngineError, Priority, Sampling
from schemas.job import DiagnosisJob
from schemas.recipe import Recipe
from schemas.report import Diagnosis, DiagnosisReport
from schemas.verdict import ProcessingTimes, Versions
from services.infra.process.errors import EngineFailed, LynceusError, StoreError
from services.infra.process.logging import bind
from services.infra.process.names import Queue
from services.infra.stores.ledger import Committed, Entry
from worker.context import WorkerContext
from worker.pixels import seen_pixels
from worker.prompts import diagnose_prompt
from worker.refusals import as_service_error, exhausted, may_pass
from worker.stopwatch import Stopwatch

log = structlog.get_logger()

REPORT_TOKENS = 1024
"""Reasoning and report together, if the context holds twice that; the report itself needs 130 to 300."""

RETRY_TEMPERATURE = 0.7
"""Greedy writing would fail a second time in the same way; the seed is the delivery's number."""

SCHEMA = Diagnosis.model_json_schema()


@dataclass(frozen=True)
class _Writing:
    """A report that the engine is at work on."""

    entry: Entry
    job: DiagnosisJob
    recipe: Recipe
    watch: Stopwatch
    completion: Future[Completion]


class Reporter:
    """Serves the queue `diagnose`: `take` begins reports beside those that run, `conclude` commits them."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._writing: list[_Writing] = []
        self._has_suspects = False

    def take(self) -> int:
        """Reads what waits, as far as reports may run at once, and begins it; returns how many reports.

        A report that was delivered before is written without another one beside it, as Inspector.take does
        with parts; verdicts go on. Raises StoreError.
        """
        context = self._context
        if self._writing and self._has_suspects:
            return 0
        count = min(context.reports_at_once - len(self._writing), context.engine.capacity().reports)
        if count <= 0:
            return 0
        entries = context.ledger.read(Queue.DIAGNOSE, context.consumer, count)
        context.leases.hold(entries)
        batch = self._without_suspects(entries)
        if batch:
            context.reload_recipes()
        for entry in batch:
            with bind(result_id=entry.job.result_id), self._refusing(entry):
                self._writing.append(self._begin(entry))
        return len(batch)

    def conclude(self) -> None:
        """Commits every report that is written.

        Raises StoreError, and EngineClosed after what was written before is committed.
        """
        done = [report for report in self._writing if report.completion.done()]
        for report in sorted(done, key=_ended_with_the_engine):
            with bind(result_id=report.job.result_id), self._refusing(report.entry):
                self._commit(report)
            self._writing.remove(report)

    def requeue(self) -> None:
        """Gives the running reports to other workers, as they came. Raises StoreError."""
        entries = [report.entry for report in self._writing]
        self.drop()
        if entries:
            self._context.leases.release(entries)

    def drop(self) -> None:
        """Stops the engine's work on every report and forgets them; their entries are the caller's."""
        for report in self._writing:
            report.completion.cancel()
        self._writing.clear()

    def _without_suspects(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """All entries when none was delivered before; else the first such entry, once no report runs."""
        suspects = [entry for entry in entries if entry.deliveries > 1]
        self._has_suspects = bool(suspects)
        if not suspects:
            return entries
        alone = [] if self._writing else suspects[:1]
        self._context.leases.release(entry for entry in entries if entry not in alone)
        return alone

    def _begin(self, entry: Entry) -> _Writing:
        context, job = self._context, _diagnosis_job(entry)
        watch = Stopwatch(job.creation_time)
        if entry.deliveries > context.max_deliveries:
            raise exhausted(entry)
        # As it is now, not as it was for the verdict: an edited recipe costs no report that still waits.
        recipe = context.recipes.get(job.part.recipe_id)
        golden = context.golden.images(recipe)
        pixels = seen_pixels(context, job, context.frames.get(job.result_id), recipe)
        watch.decoded()
        completion = context.engine.generate(
            diagnose_prompt(recipe, golden, pixels),
            sampling(entry.deliveries, context.engine.info.max_model_len),
            thinking=True,
            schema=SCHEMA,
            priority=Priority.REPORT,
            deadline=None,
        )
        watch.follow(completion)
        context.wake_at(completion)
        return _Writing(entry, job, recipe, watch, completion)

    def _commit(self, report: _Writing) -> None:
        context, written = self._context, report.completion.result()
        document = _report(
            report.job, written, parse(written), context.versions(report.recipe), report.watch.times()
        )
        outcome = context.ledger.commit_report(report.entry, document)
        log.info("report", tokens=written.completion_tokens, outcome=type(outcome).__name__)
        context.leases.settle(report.entry)
        if isinstance(outcome, Committed):
            context.progress.finish()

    @contextmanager
    def _refusing(self, entry: Entry) -> Iterator[None]:
        """Ends the report where the block finds that it cannot be written."""
        try:
            yield
        except (StoreError, EngineClosed):
            raise
        except LynceusError as error:
            self._refuse(entry, error)
        except EngineError as error:
            self._refuse(entry, as_service_error(error))

    def _refuse(self, entry: Entry, error: LynceusError) -> None:
        """Gives the report up, or tries once more; the part keeps its verdict either way."""
        context = self._context
        log.warning("not_reported", code=error.code, detail=error.detail, deliveries=entry.deliveries)
        if may_pass(error) and entry.deliveries < context.max_deliveries:
            context.leases.retry([entry])
            return
        final = exhausted(entry, error) if may_pass(error) else error
        problem = final.problem(instance=f"/v1/reports/{entry.job.result_id}")
        if isinstance(context.ledger.dead_letter(entry, problem, None), Committed):
            context.progress.finish()
        context.leases.settle(entry)


def sampling(deliveries: int, max_model_len: int) -> Sampling:
    """Greedy the first time; after a report that could not be read, sampled with the delivery as the seed.

    Half of the context is left to the prompt and its image, and half of the rest to the report itself.
    """
    tokens = min(REPORT_TOKENS, max_model_len // 2)
    return Sampling(
        max_tokens=tokens,
        temperature=0.0 if deliveries == 1 else RETRY_TEMPERATURE,
        seed=deliveries,
        reasoning_max_tokens=tokens // 2,
    )


def parse(completion: Completion) -> Diagnosis:
    """The diagnosis in what the model wrote. Raises EngineFailed when it is cut off."""
    try:
        return Diagnosis.model_validate_json(completion.content)
    except ValidationError as error:
        first = error.errors()[0]
        raise EngineFailed(
            f"the report could not be read (finish reason {completion.finish_reason!r}): "
            f"{'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}",
            hint="a report that ends too early needs a shorter diagnose prompt or a model trained on it",
        ) from error


def _report(
    job: DiagnosisJob, written: Completion, diagnosis: Diagnosis, versions: Versions, times: ProcessingTimes
) -> DiagnosisReport:
    return DiagnosisReport(
        result_id=job.result_id,
        job_id=job.job_id,
        part=job.part,
        frame=job.frame,
        decision=job.verdict.decision,
        defect_class=job.verdict.defect_class,
        diagnosis=diagnosis,
        reasoning=written.reasoning,
        versions=versions,
        processing_times=times,
        creation_time=datetime.now(UTC),
        is_simulated=job.verdict.is_simulated,
    )


def _ended_with_the_engine(report: _Writing) -> bool:
    return not report.completion.cancelled() and isinstance(report.completion.exception(), EngineClosed)


def _diagnosis_job(entry: Entry) -> DiagnosisJob:
    if not isinstance(entry.job, DiagnosisJob):
        raise TypeError(f"the queue {entry.queue} handed out a {type(entry.job).__name__}")
    return entry.job
