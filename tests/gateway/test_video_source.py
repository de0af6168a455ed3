"""A video file played as a camera."""

from pathlib import Path
from threading import Event

import pytest

from services.gateway.health import FrameOutcome
from services.gateway.sources.config import VideoFileConfig
from services.gateway.sources.video import VideoSource
from services.infra.process.errors import FrameInvalid
from tests.conftest import WaitUntil
from tests.gateway.footage import is_red, write_video
from tests.gateway.plant import PATIENCE, RECIPE, Plant


def _config(path: Path, *, loop: bool = False, interval_ms: int = 0) -> VideoFileConfig:
    return VideoFileConfig(
        kind="video", camera_id="cam-v", recipe_id=RECIPE, path=path, loop=loop, interval_ms=interval_ms
    )


def test_every_frame_becomes_a_part_and_red_stays_red(
    plant: Plant, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """OpenCV's blue-first order ends at the source; what is stored is RGB."""
    with plant.running(_config(write_video(tmp_path / "line.avi", frames=6))):
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) == 6, PATIENCE)
    jobs = plant.jobs()
    assert [job.part.part_id for job in jobs] == [f"cam-v-{number:06d}" for number in range(6)]
    assert all(is_red(plant.frames.get(job.result_id)) for job in jobs)


def test_playing_a_file_again_changes_nothing(plant: Plant, tmp_path: Path, wait_until: WaitUntil) -> None:
    """A restart of the gateway plays the video again, and every frame is recognised."""
    config = _config(write_video(tmp_path / "line.avi", frames=4))
    for _ in range(2):
        with plant.running(config):
            ended = (
                FrameOutcome.REPEATED
                if plant.health.total(FrameOutcome.ACCEPTED) == 4
                else FrameOutcome.ACCEPTED
            )
            wait_until(lambda ended=ended: plant.health.total(ended) == 4, PATIENCE)  # type: ignore[misc]
    assert len(plant.jobs()) == 4


def test_a_looping_video_shows_new_parts_in_the_same_colours(tmp_path: Path) -> None:
    """The second pass comes through the same door as the first."""
    source = VideoSource(_config(write_video(tmp_path / "line.avi", frames=3, per_second=100.0), loop=True))
    offers = source.offers(Event())
    frames = [next(offers).read() for _ in range(7)]
    assert len({frame.part_id for frame in frames}) == 7
    assert all(is_red(frame.picture.data) for frame in frames)


def test_the_interval_thins_the_frames(tmp_path: Path) -> None:
    """25 frames a second at one inspection every 100 ms leave every third frame."""
    source = VideoSource(_config(write_video(tmp_path / "line.avi", frames=10), interval_ms=100))
    names = [offer.name for offer in source.offers(Event())]
    assert names == [f"cam-v-{number:06d}" for number in (0, 3, 6, 9)]


def test_a_file_that_is_no_video_is_a_typed_error(tmp_path: Path) -> None:
    """The error names the field, the value and the hint."""
    path = tmp_path / "line.avi"
    path.write_bytes(b"not a video")
    with pytest.raises(FrameInvalid) as caught:
        next(VideoSource(_config(path)).offers(Event()))
    (wrong,) = caught.value.errors
    assert (wrong.field, wrong.value) == ("path", str(path))


def test_a_missing_video_shows_in_health_and_is_tried_again(
    plant: Plant, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """The failure is counted and named in the heartbeat; the file is played once it is there."""
    path = tmp_path / "line.avi"
    with plant.running(_config(path)):
        wait_until(
            lambda: any(
                "line.avi" in (heartbeat.last_error or "")
                for heartbeat in plant.ledger.telemetry.heartbeats()
            ),
            PATIENCE,
        )
        write_video(tmp_path / "new.avi", frames=2).rename(path)
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) == 2, PATIENCE)
    assert plant.health.total(FrameOutcome.FAILED) >= 1
