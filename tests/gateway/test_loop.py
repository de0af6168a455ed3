"""The whole gateway in the middle of faults."""

import threading
from pathlib import Path

import pytest

from services.gateway.health import FrameOutcome
from services.gateway.loop import ConfiguredCamera, GatewayLoop, Shared
from services.gateway.main import make_source
from services.gateway.sources.config import VideoFileConfig
from services.infra.local_redis import RedisServer
from tests.conftest import FreshRedis, WaitUntil
from tests.gateway.footage import network_camera
from tests.gateway.plant import PATIENCE, RECIPE, folder_config, make_plant, png
from tests.gateway.test_stream_source import live_config


@pytest.mark.parametrize("victim", ["ledger", "frames"])
def test_a_redis_killed_in_the_middle_costs_no_frame_and_repeats_none(
    fresh_redis: FreshRedis, tmp_path: Path, wait_until: WaitUntil, victim: str
) -> None:
    """Thirty files before, during and after the outage: thirty jobs, each once, each with its pixels."""
    servers = {"ledger": fresh_redis(), "frames": fresh_redis()}
    plant = make_plant(servers["ledger"].url, servers["frames"].url, tmp_path)
    folder = tmp_path / "camera"
    folder.mkdir()

    def shoot(numbers: range) -> None:
        for number in numbers:
            (folder / f"SN-{number:02d}.png").write_bytes(png(number))

    with plant.running(folder_config(folder)):
        shoot(range(10))
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) >= 3, PATIENCE)
        servers[victim].kill()
        shoot(range(10, 20))
        wait_until(lambda: plant.health.total(FrameOutcome.SPOOLED) >= 8, PATIENCE)
        servers[victim].start()
        shoot(range(20, 30))
        wait_until(lambda: len(list((folder / "processed").glob("*.png"))) == 30, PATIENCE)
        wait_until(lambda: len(plant.spool) == 0, PATIENCE)
    jobs = plant.jobs()
    assert sorted(job.part.part_id for job in jobs) == [f"SN-{number:02d}" for number in range(30)]
    for job in jobs:
        assert plant.frames.get(job.result_id) == png(int(job.part.part_id.removeprefix("SN-")))


def test_with_no_room_anywhere_a_folder_waits_and_a_live_camera_drops(
    fresh_redis: FreshRedis, frames_redis: RedisServer, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """Files stay in their folder until there is room; live frames are given up and counted."""
    server = fresh_redis()
    plant = make_plant(server.url, frames_redis.url, tmp_path, spool_bytes=1)
    folder = tmp_path / "camera"
    folder.mkdir()
    (folder / "SN-1.png").write_bytes(png())
    server.kill()
    with network_camera() as url, plant.running(folder_config(folder), live_config(url)):
        wait_until(lambda: plant.health.total(FrameOutcome.WAITING, "cam-1") >= 1, PATIENCE)
        wait_until(lambda: plant.health.total(FrameOutcome.DROPPED, "cam-r") >= 1, PATIENCE)
        assert (folder / "SN-1.png").exists()
        server.start()
        wait_until((folder / "processed" / "SN-1.png").exists, PATIENCE)
    assert "SN-1" in plant.parts()


def test_one_broken_source_leaves_the_others_at_work(
    ledger_redis: RedisServer, frames_redis: RedisServer, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """A video that is not there fails and is counted; the folder beside it is served."""
    plant = make_plant(ledger_redis.url, frames_redis.url, tmp_path)
    folder = tmp_path / "camera"
    folder.mkdir()
    broken = VideoFileConfig(kind="video", camera_id="cam-v", recipe_id=RECIPE, path=tmp_path / "missing.avi")
    with plant.running(broken, folder_config(folder)):
        wait_until(lambda: plant.health.total(FrameOutcome.FAILED, "cam-v") >= 1, PATIENCE)
        (folder / "SN-1.png").write_bytes(png())
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED, "cam-1") == 1, PATIENCE)


def test_health_tells_counters_and_the_last_frame_of_each_camera(
    ledger_redis: RedisServer, frames_redis: RedisServer, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """What the status page shows comes from the ledger, and is told once."""
    plant = make_plant(ledger_redis.url, frames_redis.url, tmp_path)
    folder = tmp_path / "camera"
    folder.mkdir()
    for number in range(3):
        (folder / f"SN-{number}.png").write_bytes(png(number))
    with plant.running(folder_config(folder)):
        wait_until(lambda: plant.ledger.telemetry.counters().get("gateway.accepted") == 3, PATIENCE)
    assert plant.ledger.telemetry.counters() == {"gateway.accepted": 3, "camera.cam-1.accepted": 3}
    (last,) = plant.ledger.telemetry.last_frames()
    assert (last.camera_id, last.outcome) == ("cam-1", "accepted")
    (heartbeat,) = plant.ledger.telemetry.heartbeats()
    assert (heartbeat.kind, heartbeat.finished, heartbeat.failures) == ("gateway", 3, 0)


def test_what_ends_the_heartbeats_ends_the_sources(
    ledger_redis: RedisServer, frames_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends and is started again, instead of cameras that go on without anybody's notice."""
    plant = make_plant(ledger_redis.url, frames_redis.url, tmp_path)
    (tmp_path / "camera").mkdir()
    config = folder_config(tmp_path / "camera")
    cameras = [ConfiguredCamera(config, make_source(config, plant.health))]
    shared = Shared(plant.intake, plant.ledger, plant.recipes, plant.health, plant.dead_letters)

    def broken() -> bool:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(plant.recipes, "reload_if_changed", broken)
    stop = threading.Event()
    with pytest.raises(RuntimeError, match="a defect of ours"):
        GatewayLoop(cameras, shared, stop).run()
    assert stop.is_set()
