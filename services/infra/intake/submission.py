"""The one door for a new inspection: gateway, REST and the Celery task all come in here."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pydantic import Field

from schemas.base import Identifier, Message, Timestamp
from schemas.frame import FrameRef
from schemas.identity import PartIdentity
from schemas.job import InspectionJob
from schemas.recipe import Recipe
from services.infra.intake import quality
from services.infra.intake.capacity import StoreCapacity
from services.infra.intake.picture import Picture
from services.infra.intake.recipes import RecipeBook
from services.infra.process.errors import UnknownStation
from services.infra.process.heartbeat import Stages
from services.infra.process.names import Queue
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Duplicate, Ledger
from services.infra.stores.wake_up import WakeUp


class SubmissionRequest(Message):
    """What a caller says about one image of one part; `result_id` makes it idempotent."""

    result_id: Identifier
    recipe_id: Identifier
    part_id: Identifier
    camera_id: Identifier
    lot_id: Identifier | None = None
    job_id: Identifier | None = None
    """The order or run; the result id stands for it when None."""
    station_id: Identifier | None = None
    """When given, it must be the station of the recipe."""
    deadline_ms: int | None = Field(default=None, ge=1, le=600_000)
    """Milliseconds from now until the verdict is too late; the recipe's own when None."""
    is_simulated: bool = False
    captured_at: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job as the ledger holds it; `is_new` is False when the same request came before."""

    job: InspectionJob
    is_new: bool


@dataclass(slots=True)
class Submission:
    """Takes an image and what is asked about it: frame first, then the job, then the wake-up."""

    ledger: Ledger
    frames: FrameStore
    wake_up: WakeUp
    recipes: RecipeBook
    frames_high_water: float = 1.0
    ledger_high_water: float = 1.0
    stages: Stages = field(default_factory=Stages)
    """Where the time of this door goes."""
    _capacity: StoreCapacity = field(init=False)

    def __post_init__(self) -> None:
        self._capacity = StoreCapacity(
            self.frames, self.ledger, self.frames_high_water, self.ledger_high_water
        )

    def accept(
        self, request: SubmissionRequest, picture: Picture, arrived_at: datetime | None = None
    ) -> Accepted:
        """Accept the job once per `result_id`; the same request again changes nothing.

        `arrived_at` is when the request came to its door, from which its deadline counts; now where None.

        Raises UnknownRecipe, UnknownStation, DuplicateConflict for another body under the same id, StoreFull
        at the high-water marks, StoreUnavailable.
        """
        return self.hand_over(self.prepare(request, picture, arrived_at), picture.data)

    def prepare(
        self, request: SubmissionRequest, picture: Picture, arrived_at: datetime | None = None
    ) -> InspectionJob:
        """The job of a picture, without touching a store; the deadline counts from `arrived_at`, or now.

        A frame that decodes but fails the recipe's quality gate makes a job with an `unusable_reason`.
        Raises UnknownRecipe, UnknownStation.
        """
        recipe = self._recipe(request)
        now = arrived_at or datetime.now(UTC)
        with self.stages.timed("check"):
            reason = quality.unusable_reason(picture, recipe.frame_limits)
        return _job(request, recipe, picture.frame(request.captured_at or now), now, reason)

    def hand_over(self, job: InspectionJob, data: bytes) -> Accepted:
        """Put a prepared job where workers find it; the same job again changes nothing.

        Raises DuplicateConflict for another body under the same id, StoreFull at the high-water marks or
        where a store refuses, StoreUnavailable.
        """
        with self.stages.timed("look up"):
            is_known = self.ledger.jobs.state(job.result_id) is not None
        if not is_known:
            with self.stages.timed("capacity"):
                self._capacity.require()
            with self.stages.timed("keep"):
                self.frames.put(job.result_id, data)
        with self.stages.timed("add"):
            outcome = self.ledger.jobs.add(job, body_digest(job))
        with self.stages.timed("wake"):
            self.wake_up.send(Queue.INSPECT)
        return self._first(job) if isinstance(outcome, Duplicate) else Accepted(job, is_new=True)

    def _first(self, job: InspectionJob) -> Accepted:
        state = self.ledger.jobs.state(job.result_id)
        return Accepted(state.job if state else job, is_new=False)

    def _recipe(self, request: SubmissionRequest) -> Recipe:
        recipe = self.recipes.get(request.recipe_id)
        if request.station_id not in {None, recipe.station_id}:
            raise UnknownStation(
                f"recipe {recipe.recipe_id!r} is not for station {request.station_id!r}",
                hint=f"leave station_id out, or send {recipe.station_id!r}",
            )
        return recipe


def body_digest(job: InspectionJob) -> str:
    """SHA-256 over what is asked, how much time there is for it, and the image it is asked about.

    It leaves out when it was asked, the recipe's version and what the gate found, so that a second delivery
    after a restart is still the same request.
    """
    asked = job.part.model_dump_json(exclude={"recipe_version"})
    body = (
        f"{asked}\n{job.job_id}\n{job.is_simulated}\n{job.deadline - job.creation_time}\n{job.frame.digest}"
    )
    return hashlib.sha256(body.encode()).hexdigest()


def _job(
    request: SubmissionRequest, recipe: Recipe, frame: FrameRef, now: datetime, unusable_reason: str | None
) -> InspectionJob:
    part = PartIdentity(
        part_id=request.part_id,
        lot_id=request.lot_id,
        station_id=recipe.station_id,
        camera_id=request.camera_id,
        recipe_id=recipe.recipe_id,
        recipe_version=recipe.version,
    )
    return InspectionJob(
        result_id=request.result_id,
        job_id=request.job_id or request.result_id,
        part=part,
        frame=frame,
        creation_time=now,
        deadline=now + timedelta(milliseconds=request.deadline_ms or recipe.deadline_ms),
        is_simulated=request.is_simulated,
        unusable_reason=unusable_reason,
    )
