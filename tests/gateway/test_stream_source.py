"""Live cameras: reconnecting, colours, and what happens when the store is slower than the camera."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from threading import Event

from services.gateway.backoff import Backoff
from services.gateway.health import FrameOutcome
from services.gateway.sources.capture import CapturedFrame
from services.gateway.sources.config import RtspConfig, UsbConfig
from services.gateway.sources.stream import LatestFrames, StreamSource
from tests.conftest import WaitUntil
from tests.gateway.footage import is_red, network_camera
from tests.gateway.plant import PATIENCE, RECIPE, Plant, pixels


def _quick() -> Backoff:
    return Backoff(first=0.01, longest=0.05)


def live_config(url: str) -> RtspConfig:
    """A network camera of which every frame is taken."""
    return RtspConfig(kind="rtsp", camera_id="cam-r", recipe_id=RECIPE, url=url, interval_ms=0)


def _captured(number: int) -> CapturedFrame:
    return CapturedFrame(f"f{number}", pixels(number), f"f{number}", datetime.now(UTC))


def test_red_stays_red_after_every_reconnect() -> None:
    """The camera hangs up after six frames; the source comes back and the colours with it."""
    noted: Counter[FrameOutcome] = Counter()
    stop = Event()
    with network_camera() as url:
        source = StreamSource(live_config(url), lambda outcome: noted.update([outcome]), 64, _quick())
        frames = []
        for offer in source.offers(stop):
            frames.append(offer.read())
            if noted[FrameOutcome.RECONNECTED] >= 2 and len(frames) >= 15:
                stop.set()
    assert all(is_red(frame.picture.data) for frame in frames)
    assert all(before.captured_at <= after.captured_at for before, after in pairwise(frames))


def test_a_live_camera_drops_the_oldest_frame() -> None:
    """When nobody takes the frames, the newest are kept in order and every drop is told."""
    frames = LatestFrames(capacity=2)
    dropped = [frames.put(_captured(number)) for number in range(5)]
    assert dropped == [False, False, True, True, True]
    kept = [frames.get(0.0), frames.get(0.0), frames.get(0.0)]
    assert [frame.name if frame else None for frame in kept] == ["f3", "f4", None]


def test_drops_of_a_slow_taker_are_counted(wait_until: WaitUntil) -> None:
    """A taker that stands still after one frame costs frames, and the count says how many."""
    noted: Counter[FrameOutcome] = Counter()
    with network_camera() as url:
        source = StreamSource(live_config(url), lambda outcome: noted.update([outcome]), 1, _quick())
        offers = source.offers(Event())
        next(offers)
        wait_until(lambda: noted[FrameOutcome.DROPPED] >= 5, PATIENCE)
        offers.close()  # type: ignore[attr-defined]


def test_a_camera_that_is_not_there_is_tried_again_and_stops_at_once(
    plant: Plant, wait_until: WaitUntil
) -> None:
    """No device of this number: the gateway runs, counts its tries, and ends when told to."""
    config = UsbConfig(kind="usb", camera_id="cam-u", recipe_id=RECIPE, device=200)
    with plant.running(config):
        wait_until(
            lambda: plant.ledger.telemetry.counters().get("camera.cam-u.reconnected", 0) >= 1, PATIENCE
        )
    assert plant.health.total(FrameOutcome.FAILED) == 0


def test_delays_double_up_to_the_longest_and_start_again_after_success() -> None:
    """0.5, 1, 2, 4 seconds … 30 at most."""
    backoff = Backoff()
    assert [backoff.next_delay() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    backoff.reset()
    assert backoff.next_delay() == 0.5
