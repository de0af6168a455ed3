"""Frame stores: the first image under an id stays."""

import pytest
from redis import Redis

from services.infra.local_redis import RedisServer
from services.infra.process.errors import DuplicateConflict, FrameMissing
from services.infra.process.names import frame_key
from services.infra.stores.frames import FRAME_KEPT_SECONDS, FrameStore

PIXELS = bytes(range(256)) * 10


def test_an_image_comes_back_byte_for_byte(frames: FrameStore) -> None:
    """Every byte value survives, and putting it again changes nothing."""
    frames.put("r1", PIXELS)
    frames.put("r1", PIXELS)
    assert frames.get("r1") == PIXELS


def test_another_image_under_a_used_id_is_a_conflict(frames: FrameStore) -> None:
    """A job that waits is never judged on the pixels of another request."""
    frames.put("r1", PIXELS)
    with pytest.raises(DuplicateConflict):
        frames.put("r1", b"other")
    assert frames.get("r1") == PIXELS


def test_a_missing_image_is_named(frames: FrameStore) -> None:
    """Asking for it is an error, deleting it is not."""
    with pytest.raises(FrameMissing, match="r1"):
        frames.get("r1")
    frames.put("r1", PIXELS)
    frames.delete("r1")
    frames.delete("r1")
    with pytest.raises(FrameMissing):
        frames.get("r1")


def test_a_store_without_a_limit_is_never_full(frames: FrameStore) -> None:
    """No limit, no fraction."""
    assert frames.used_fraction() == 0.0


def test_an_orphan_runs_out(frames_redis: RedisServer) -> None:
    """A frame whose job never came is gone after a week."""
    FrameStore(frames_redis.url).put("r1", PIXELS)
    with Redis.from_url(frames_redis.url) as client:
        assert 0 < client.ttl(frame_key("r1")) <= FRAME_KEPT_SECONDS


def test_the_ids_of_all_images_can_be_listed(frames: FrameStore) -> None:
    """The sweep sees every one, whatever characters the id holds."""
    ids = {"r1", "line-2:part.7", "x" * 128}
    for result_id in ids:
        frames.put(result_id, PIXELS)
    assert set(frames.ids()) == ids


def test_several_images_come_in_one_step(frames: FrameStore) -> None:
    """Those that are kept, by their result id; one that is gone is left out, and none asks for nothing."""
    frames.put("one", b"first")
    frames.put("two", b"second")
    assert frames.get_many(["two", "gone", "one"]) == {"two": b"second", "one": b"first"}
    assert frames.get_many([]) == {}
