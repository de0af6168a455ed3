"""The gateway's life: a thread for each source, one that drains the spool, and a heartbeat."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Thread
from urllib.parse import quote

import structlog

from services.gateway.backoff import Backoff
from services.gateway.dead_letters import DeadLetters, RefusedFrame
from services.gateway.health import FrameOutcome, Health
from services.gateway.intake import Intake
from services.gateway.sources.config import CameraConfig
from services.gateway.sources.offer import Offer, Source, SourceFrame
from services.infra.intake import RecipeBook
from services.infra.process.errors import (
    BadRequest,
    DuplicateConflict,
    FrameInvalid,
    FrameTooLarge,
    LynceusError,
    RecipeInvalid,
    StoreError,
    UnsupportedImage,
)
from services.infra.process.logging import bind
from services.infra.stores.ledger import Ledger

log = structlog.get_logger(__name__)

FRAME_FAULTS = (BadRequest, DuplicateConflict, FrameInvalid, FrameTooLarge, UnsupportedImage)
"""Faults of the frame itself; any other error is the gateway's, and the frame stays with its source."""

HEARTBEAT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ConfiguredCamera:
    """One configured source and what reads it."""

    config: CameraConfig
    source: Source


@dataclass(frozen=True, slots=True)
class Shared:
    """What all threads of one gateway use."""

    intake: Intake
    ledger: Ledger
    recipes: RecipeBook
    health: Health
    dead_letters: DeadLetters


class GatewayLoop:
    """Runs until `stop` is set; a source that has ended leaves the others running."""

    def __init__(self, cameras: Sequence[ConfiguredCamera], shared: Shared, stop: Event) -> None:
        self._shared = shared
        self._stop = stop
        self._sources = [Thread(target=self._serve, args=(camera,), name=_name(camera)) for camera in cameras]
        self._drain = Thread(target=self._drain_until_stopped, name="drain")

    def run(self) -> None:
        """Start every thread, give heartbeats, and return when all threads have ended.

        What ends the heartbeats ends the sources: cameras without a heartbeat would look alive to nobody.
        """
        threads = (*self._sources, self._drain)
        for thread in threads:
            thread.start()
        try:
            while not self._stop.wait(HEARTBEAT_SECONDS):
                self._heartbeat()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        self._heartbeat()

    def _serve(self, camera: ConfiguredCamera) -> None:
        """Serve one source to its end; whatever fails is counted, and the source is started again."""
        backoff = Backoff()
        with bind(camera_id=camera.config.camera_id):
            while not self._stop.is_set():
                try:
                    for offer in camera.source.offers(self._stop):
                        self._take(camera, offer)
                        backoff.reset()
                # The outermost loop: a defect in one source must not end the others.
                except Exception as error:  # noqa: BLE001
                    self._note_failure(camera, error)
                    self._stop.wait(backoff.next_delay())
                else:
                    log.info("source ended")
                    return

    def _note_failure(self, camera: ConfiguredCamera, error: Exception) -> None:
        """Count it where health shows it; only a defect of ours is worth a stack trace."""
        self._shared.health.note_error(camera.config.camera_id, error)
        if isinstance(error, LynceusError):
            log.warning("source failed", code=error.code, detail=error.detail, hint=error.hint)
        else:
            log.error("source failed", exc_info=error)

    def _take(self, camera: ConfiguredCamera, offer: Offer) -> None:
        try:
            self._take_or_reject(camera, offer)
        except OSError as error:
            # Its file cannot be moved: it is told, held out again later, and no other frame waits for it.
            self._note_failure(camera, error)

    def _take_or_reject(self, camera: ConfiguredCamera, offer: Offer) -> None:
        try:
            with self._shared.health.stages.timed("read"):
                frame = offer.read()
            taken = self._deliver(camera, frame)
        except FRAME_FAULTS as error:
            if not offer.may_become_right(error):
                self._reject(camera, offer, error)
        else:
            if taken:
                offer.accepted()

    def _deliver(self, camera: ConfiguredCamera, frame: SourceFrame) -> bool:
        """Bring a frame to safety; False when it was dropped, or is left to its source because we stop."""
        while not self._stop.is_set():
            try:
                self._shared.intake.accept(frame, camera.config)
            except StoreError as error:
                if not camera.source.waits_for_capacity:
                    self._shared.health.note(camera.config.camera_id, FrameOutcome.DROPPED)
                    log.warning("frame dropped", frame=frame.name, reason=error.detail)
                    return False
                self._shared.health.note(camera.config.camera_id, FrameOutcome.WAITING)
                self._stop.wait(error.retry_after)
            else:
                return True
        return False

    def _reject(self, camera: ConfiguredCamera, offer: Offer, error: LynceusError) -> None:
        camera_id = camera.config.camera_id
        problem = error.problem(instance=f"/cameras/{camera_id}/{quote(offer.name)}")
        offer.rejected(problem)
        self._shared.dead_letters.add(RefusedFrame(f"{camera_id}/{offer.name}", problem, offer.name))
        self._shared.health.note(camera_id, FrameOutcome.REJECTED)
        log.warning("frame rejected", frame=offer.name, code=problem.code, detail=problem.detail)

    def _drain_until_stopped(self) -> None:
        backoff = Backoff(first=0.1, longest=5.0)
        delay = backoff.first
        while not self._stop.wait(delay):
            try:
                is_empty = self._shared.intake.drain(self._stop)
            except StoreError as error:
                log.warning("the spool cannot be read", reason=error.detail)
                is_empty = False
            if is_empty:
                backoff.reset()
            delay = backoff.first if is_empty else backoff.next_delay()

    def _heartbeat(self) -> None:
        try:
            self._shared.recipes.reload_if_changed()
        except RecipeInvalid as error:
            log.warning("recipes not reloaded", detail=error.detail)
        try:
            self._shared.dead_letters.send(self._shared.ledger.jobs)
            self._shared.health.tell(self._shared.ledger.telemetry)
        except StoreError as error:
            log.warning("no heartbeat", reason=error.detail)


def _name(camera: ConfiguredCamera) -> str:
    return f"source-{camera.config.camera_id}"
