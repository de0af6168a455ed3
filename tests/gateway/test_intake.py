"""The one door: each frame ends in the ledger exactly once, whatever the stores do meanwhile."""

from pathlib import Path
from threading import Event

import pytest
from redis import Redis

from schemas.job import InspectionJob
from services.gateway.health import FrameOutcome
from services.gateway.intake import result_id
from services.infra.local_redis import RedisServer
from services.infra.process.errors import BadRequest, FrameTruncated, StoreFull, UnknownRecipe
from tests.conftest import FreshRedis
from tests.gateway.plant import Plant, folder_config, frame, make_plant, png


def test_the_id_of_a_frame_depends_on_nothing_but_the_frame_and_its_place() -> None:
    """The same file from the same camera has the same id for ever; anything else has another."""
    first = frame("SN-1", png())
    ids = {
        result_id("station", "cam", first),
        result_id("other", "cam", first),
        result_id("station", "cam-2", first),
        result_id("station", "cam", frame("SN-2", png())),
        result_id("station", "cam", frame("SN-1", png(2))),
    }
    assert len(ids) == 5
    assert result_id("station", "cam", frame("SN-1", png())) == result_id("station", "cam", first)


def test_a_wrong_frame_is_refused_before_any_store_is_touched(plant: Plant, tmp_path: Path) -> None:
    """Typed errors for half an image, a serial that is none, and a recipe that is not there."""
    camera = folder_config(tmp_path)
    with pytest.raises(FrameTruncated):
        plant.intake.accept(frame("SN-1", png()[:2000]), camera)
    with pytest.raises(BadRequest) as caught:
        plant.intake.accept(frame("SN 1", png()), camera)
    assert [(error.field, error.value) for error in caught.value.errors] == [("part_id", "SN 1")]
    with pytest.raises(UnknownRecipe):
        plant.intake.accept(frame("SN-1", png()), camera.model_copy(update={"recipe_id": "nothing"}))
    assert plant.jobs() == []
    assert len(plant.spool) == 0


def test_while_the_ledger_is_away_frames_wait_on_disk_and_keep_their_order_and_deadline(
    fresh_redis: FreshRedis, frames_redis: RedisServer, tmp_path: Path
) -> None:
    """What was accepted during the outage reaches the ledger afterwards as it was accepted."""
    server = fresh_redis()
    plant, camera = make_plant(server.url, frames_redis.url, tmp_path), folder_config(tmp_path)
    accepted = [plant.intake.accept(frame("SN-0", png(0)), camera)]
    server.kill()
    accepted += [plant.intake.accept(frame(f"SN-{n}", png(n)), camera) for n in range(1, 5)]
    assert len(plant.spool) == 4
    assert plant.intake.drain(Event()) is False
    server.start()
    accepted.append(plant.intake.accept(frame("SN-5", png(5)), camera))
    assert plant.intake.drain(Event()) is True
    assert plant.jobs() == accepted
    assert len(plant.spool) == 0


def test_a_full_frame_store_sends_frames_to_the_spool(
    ledger_redis: RedisServer, fresh_redis: FreshRedis, tmp_path: Path
) -> None:
    """At the high-water mark frames wait on disk, and move on when there is room again."""
    server = fresh_redis(maxmemory="4mb")
    plant, camera = make_plant(ledger_redis.url, server.url, tmp_path), folder_config(tmp_path)
    with Redis.from_url(server.url) as client:
        while plant.frames.used_fraction() < 0.9:
            client.rpush("filler", b"x" * 50_000)
        job = plant.intake.accept(frame("SN-1", png()), camera)
        assert plant.jobs() == []
        assert len(plant.spool) == 1
        client.delete("filler")
    assert plant.intake.drain(Event()) is True
    assert plant.jobs() == [job]
    assert plant.frames.get(job.result_id) == png()


@pytest.mark.parametrize("full", ["frames", "ledger"])
def test_a_store_that_fills_up_behind_a_remembered_answer_loses_nothing(
    full: str, fresh_redis: FreshRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway believes that there is room; the store refuses, and the frame waits on disk for it."""
    monkeypatch.setattr("services.infra.intake.capacity.CAPACITY_SECONDS", 3600.0)
    servers = {"ledger": fresh_redis(), "frames": fresh_redis()}
    plant = make_plant(servers["ledger"].url, servers["frames"].url, tmp_path)
    camera = folder_config(tmp_path)
    accepted = [plant.intake.accept(frame("SN-1", png(1)), camera)]
    with Redis.from_url(servers[full].url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 100_000)
        accepted += [plant.intake.accept(frame(f"SN-{number}", png(number)), camera) for number in (2, 3)]
        assert plant.health.total(FrameOutcome.SPOOLED) == len(plant.spool) == 2
        assert plant.intake.drain(Event()) is False
        assert plant.jobs() == accepted[:1]
        client.config_set("maxmemory", 0)
    assert plant.intake.drain(Event()) is True
    assert plant.jobs() == accepted
    assert [plant.frames.get(job.result_id) for job in accepted] == [png(number) for number in (1, 2, 3)]


def test_a_full_spool_refuses_and_keeps_what_it_has(
    fresh_redis: FreshRedis, frames_redis: RedisServer, tmp_path: Path
) -> None:
    """The caller is told, so that it can wait or count; frames accepted before are safe."""
    server = fresh_redis()
    one_frame = len(png()) + 2000
    plant = make_plant(server.url, frames_redis.url, tmp_path, spool_bytes=one_frame)
    camera = folder_config(tmp_path)
    server.kill()
    plant.intake.accept(frame("SN-1", png(1)), camera)
    with pytest.raises(StoreFull):
        plant.intake.accept(frame("SN-2", png(2)), camera)
    server.start()
    assert plant.intake.drain(Event()) is True
    plant.intake.accept(frame("SN-2", png(2)), camera)
    assert plant.parts() == ["SN-1", "SN-2"]


def test_the_spool_survives_the_process(
    fresh_redis: FreshRedis, frames_redis: RedisServer, tmp_path: Path
) -> None:
    """Another gateway over the same folder hands on what the first one accepted."""
    server = fresh_redis()
    first, camera = make_plant(server.url, frames_redis.url, tmp_path), folder_config(tmp_path)
    server.kill()
    job = first.intake.accept(frame("SN-1", png()), camera)
    server.start()
    second = make_plant(server.url, frames_redis.url, tmp_path)
    assert second.intake.drain(Event()) is True
    assert second.jobs() == [job]


def test_a_spooled_frame_whose_id_was_used_otherwise_is_set_aside(
    fresh_redis: FreshRedis, frames_redis: RedisServer, tmp_path: Path
) -> None:
    """It can never be handed on: it is kept with its problem, told of, and does not stop the ones behind."""
    server = fresh_redis()
    plant, camera = make_plant(server.url, frames_redis.url, tmp_path), folder_config(tmp_path)
    first = plant.intake.accept(frame("SN-1", png(1), name="shot.png"), camera)
    server.kill()
    plant.intake.accept(frame("SN-9", png(1), name="shot.png"), camera)
    behind = plant.intake.accept(frame("SN-2", png(2)), camera)
    server.start()
    assert plant.intake.drain(Event()) is True
    assert plant.jobs() == [first, behind]
    assert len(list((tmp_path / "spool" / "refused").glob("*.problem.json"))) == 1
    plant.dead_letters.send(plant.ledger.jobs)
    (letter,) = plant.ledger.jobs.dead_letters(10)
    assert letter.problem.code == "duplicate-conflict"
    assert InspectionJob.model_validate_json(letter.payload).part.part_id == "SN-9"
