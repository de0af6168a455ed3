"""The report lane: one escalated part becomes one written report, with verdicts first at every step."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import UTC, datetime

import structlog
from pydantic import ValidationError

from engine import Completion, EngineClosed, EngineError, Priority, Sampling
from schemas.job import DiagnosisJob
from schemas.recipe import Recipe
from schemas.report import Diagnosis, DiagnosisReport
from schemas.verdict import ProcessingTimes, Versions
from services.infra.errors import EngineFailed, LynceusError, StoreError
from services.infra.ledger import Committed, Entry
from services.infra.logging import bind
from services.infra.names import Lane
from worker.pixels import seen_pixels
from worker.prompts import diagnose_prompt
from worker.refusals import as_service_error, exhausted, may_pass
from worker.station import Station
from worker.stopwatch import Stopwatch

log = structlog.get_logger()

REPORT_TOKENS = 1024
"""Reasoning and report together, if the context holds twice that; the report itself needs 130 to 300."""

RETRY_TEMPERATURE = 0.7
"""Greedy writing would fail a second time in the same way; the seed is the delivery's number."""

VERDICT_INTERVAL_SECONDS = 0.02
"""How often the verdict lane is looked at while a report is being written."""

SCHEMA = Diagnosis.model_json_schema()


class Reporter:
    """Serves the lane `diagnose`, one report at a step."""

    def __init__(self, station: Station, verdicts_first: Callable[[], object]) -> None:
        """`verdicts_first` serves what waits for a verdict; it is called while a report is written."""
        self._station = station
        self._verdicts_first = verdicts_first

    def step(self) -> bool:
        """Writes one report that waits; False when none waited.

        Asked to stop, it hands the report back for another worker to write.
        Raises StoreError or EngineClosed as Inspector.step does.
        """
        station = self._station
        entries = station.ledger.read(Lane.DIAGNOSE, station.consumer, 1)
        if not entries:
            return False
        with station.claims.hold(entries), bind(result_id=entries[0].job.result_id):
            self._serve(entries[0])
        return True

    def _serve(self, entry: Entry) -> None:
        try:
            self._write(entry)
        except (StoreError, EngineClosed):
            raise
        except LynceusError as error:
            self._refuse(entry, error)
        except EngineError as error:
            self._refuse(entry, as_service_error(error))

    def _write(self, entry: Entry) -> None:
        station, job = self._station, _diagnosis_job(entry)
        watch = Stopwatch(job.creation_time)
        if entry.deliveries > station.max_deliveries:
            raise exhausted(entry)
        recipe = station.present_recipe(job.part.recipe_id)
        completion = self._ask(entry, job, recipe, watch)
        if not self._is_written(completion):
            station.ledger.release([entry])
            station.claims.settle(entry)
            return
        written = completion.result()
        report = _report(job, written, parse(written), station.versions(recipe), watch.times())
        outcome = station.ledger.commit_report(entry, report)
        log.info("report", tokens=written.completion_tokens, outcome=type(outcome).__name__)
        station.claims.settle(entry)
        if isinstance(outcome, Committed):
            station.progress.finish()

    def _ask(self, entry: Entry, job: DiagnosisJob, recipe: Recipe, watch: Stopwatch) -> Future[Completion]:
        station = self._station
        pixels = seen_pixels(station.frames, job, recipe)
        watch.decoded()
        completion = station.engine.generate(
            diagnose_prompt(recipe, pixels),
            sampling(entry.deliveries, station.engine.info.max_model_len),
            thinking=True,
            schema=SCHEMA,
            priority=Priority.REPORT,
            deadline=None,
        )
        watch.follow(completion)
        return completion

    def _is_written(self, completion: Future[Completion]) -> bool:
        """Serves verdicts until the report is written; False when the worker is asked to stop first."""
        try:
            while wait([completion], timeout=VERDICT_INTERVAL_SECONDS).not_done:
                if self._station.stop.is_set():
                    return False
                self._station.claims.renew_if_due()
                self._verdicts_first()
        finally:
            completion.cancel()  # frees the engine of a report nobody waits for; a written one stays written
        return True

    def _refuse(self, entry: Entry, error: LynceusError) -> None:
        """Gives the report up, or tries once more; the part keeps its verdict either way."""
        station = self._station
        log.warning("not_reported", code=error.code, detail=error.detail, deliveries=entry.deliveries)
        if may_pass(error) and entry.deliveries < station.max_deliveries:
            station.ledger.retry([entry])
        else:
            final = exhausted(entry, error) if may_pass(error) else error
            problem = final.problem(instance=f"/v1/reports/{entry.job.result_id}")
            if isinstance(station.ledger.bury(entry, problem, None), Committed):
                station.progress.finish()
        station.claims.settle(entry)


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
            mend="a report that ends too early needs a shorter diagnose prompt or a model trained on it",
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


def _diagnosis_job(entry: Entry) -> DiagnosisJob:
    if not isinstance(entry.job, DiagnosisJob):
        raise TypeError(f"the lane {entry.lane} handed out a {type(entry.job).__name__}")
    return entry.job
