"""The gateway's one door: every frame becomes a job in the ledger, or waits on disk for it."""

import uuid
from threading import Event

import structlog
from pydantic import ValidationError

from schemas.job import InspectionJob
from schemas.problem import Problem
from services.gateway.dead_letters import DeadLetters, RefusedFrame
from services.gateway.frozen import FrozenGate
from services.gateway.health import FrameOutcome, Health
from services.gateway.sources.config import CameraConfig
from services.gateway.sources.offer import SourceFrame
from services.infra.intake.submission import Submission, SubmissionRequest
from services.infra.process.errors import BadRequest, LynceusError, StoreError
from services.infra.process.field_errors import field_errors
from services.infra.stores.spool import Spool, Spooled

log = structlog.get_logger(__name__)

_FRAMES = uuid.UUID("5c7f2c0e-6d1b-4f0a-9a53-3f8a1c2d7b10")
"""The name space of result ids that are derived from frames (RFC 9562, version 5)."""


class Intake:
    """Takes frames from all sources; each camera is served by one thread, the spool drained by another."""

    def __init__(
        self, submission: Submission, spool: Spool, health: Health, dead_letters: DeadLetters
    ) -> None:
        self._submission = submission
        self._spool = spool
        self._health = health
        self._dead_letters = dead_letters
        self._frozen: dict[str, FrozenGate] = {}

    def accept(self, frame: SourceFrame, camera: CameraConfig) -> InspectionJob:
        """Accept one frame of one part; what was accepted is in the ledger or, durably, in the spool.

        A frame that cannot be judged is accepted with an `unusable_reason`; the same frame again changes
        nothing. Raises BadRequest for a wrong identity, DuplicateConflict,
        UnknownRecipe, and StoreFull or StoreUnavailable when the spool cannot take it either.
        """
        request = self._request(frame, camera)
        prepared = self._submission.prepare(request, frame.picture)
        gate = self._frozen.setdefault(camera.camera_id, FrozenGate())
        reason = prepared.unusable_reason or gate.reason(prepared, frame.picture)
        job = prepared.model_copy(update={"unusable_reason": reason})
        outcome = self._keep(job, frame.picture.data)
        gate.remember(job, frame.picture)
        self._health.note(camera.camera_id, outcome)
        log.info("frame taken", result_id=job.result_id, part_id=job.part.part_id, outcome=outcome)
        return job

    def drain(self, stop: Event) -> bool:
        """Hand on what waits in the spool, oldest first; False when a store still refuses."""
        while not stop.is_set() and (waiting := self._spool.oldest()) is not None:
            try:
                self._submission.hand_over(waiting.job, waiting.data)
            except StoreError:
                return False
            except LynceusError as error:
                self._set_aside(waiting, error.problem())
            else:
                self._spool.delete(waiting.name)
                self._health.note(waiting.job.part.camera_id, FrameOutcome.DRAINED)
        return True

    def _set_aside(self, waiting: Spooled, problem: Problem) -> None:
        self._spool.set_aside(waiting.name, problem)
        refused = RefusedFrame(waiting.job.result_id, problem, waiting.job.model_dump_json())
        self._dead_letters.add(refused)
        self._health.note(waiting.job.part.camera_id, FrameOutcome.REFUSED)

    def _keep(self, job: InspectionJob, data: bytes) -> FrameOutcome:
        # Behind frames that wait, a new one waits too: parts are judged in the order they came.
        if not len(self._spool):
            try:
                accepted = self._submission.hand_over(job, data)
            except StoreError as error:
                log.warning("frame goes to the spool", result_id=job.result_id, reason=error.detail)
            else:
                return _outcome(job, is_new=accepted.is_new)
        with self._health.stages.timed("spool"):
            self._spool.put(job, data)
        return FrameOutcome.SPOOLED

    def _request(self, frame: SourceFrame, camera: CameraConfig) -> SubmissionRequest:
        station_id = self._submission.recipes.get(camera.recipe_id).station_id
        try:
            return SubmissionRequest(
                result_id=result_id(station_id, camera.camera_id, frame),
                recipe_id=camera.recipe_id,
                part_id=frame.part_id,
                lot_id=frame.lot_id or camera.lot_id,
                job_id=frame.job_id or camera.job_id,
                camera_id=camera.camera_id,
                is_simulated=camera.is_simulated,
                captured_at=frame.captured_at,
            )
        except ValidationError as error:
            raise _wrong_identity(frame, error) from error


def result_id(station_id: str, camera_id: str, frame: SourceFrame) -> str:
    """The same id for the same frame from the same place, whenever it is delivered."""
    return str(uuid.uuid5(_FRAMES, f"{station_id}/{camera_id}/{frame.picture.digest}/{frame.name}"))


def _outcome(job: InspectionJob, *, is_new: bool) -> FrameOutcome:
    if not is_new:
        return FrameOutcome.REPEATED
    return FrameOutcome.ACCEPTED if job.unusable_reason is None else FrameOutcome.UNUSABLE


def _wrong_identity(frame: SourceFrame, error: ValidationError) -> BadRequest:
    hint = "use letters, digits and . _ : - only, beginning with a letter or digit, at most 128"
    errors = field_errors(error, hint, "part", frame.name)
    return BadRequest(f"{frame.name} does not name a part", hint=hint, errors=errors)
