"""The spool: frames survive on disk, oldest first, and never half a frame."""

import errno
import os
from pathlib import Path

import pytest

from services.infra.process.errors import StoreFull, StoreUnavailable
from services.infra.stores.spool import Spool
from tests.infra.samples import PROBLEM, job


def test_frames_come_out_oldest_first_and_as_they_went_in(tmp_path: Path) -> None:
    """Job and bytes are the same after the disk, in the order of arrival."""
    spool = Spool(tmp_path, max_bytes=100_000)
    for number in range(3):
        spool.put(job(f"r{number}"), b"pixels" * number)
    for number in range(3):
        oldest = spool.oldest()
        assert oldest is not None
        assert (oldest.job, oldest.data) == (job(f"r{number}"), b"pixels" * number)
        spool.delete(oldest.name)
    assert spool.oldest() is None
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_new_process_finds_what_the_old_one_kept(tmp_path: Path) -> None:
    """What `put` returned from is there after a restart, counted and in order."""
    first = Spool(tmp_path, max_bytes=100_000)
    first.put(job("r1"), b"one")
    first.put(job("r2"), b"two")
    second = Spool(tmp_path, max_bytes=100_000)
    assert len(second) == 2
    oldest = second.oldest()
    assert oldest is not None
    assert oldest.job.result_id == "r1"
    kept = sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file())
    with pytest.raises(StoreFull):
        Spool(tmp_path, max_bytes=kept).put(job("r3"), b"three")


def test_the_same_result_id_is_kept_once(tmp_path: Path) -> None:
    """A source that hands a frame over twice does not double it."""
    spool = Spool(tmp_path, max_bytes=100_000)
    spool.put(job("r1"), b"one")
    spool.put(job("r1"), b"one")
    assert len(spool) == 1


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    """The bound is on bytes; room comes back when a frame is handed on."""
    spool = Spool(tmp_path, max_bytes=3_000)
    spool.put(job("r1"), bytes(1_000))
    with pytest.raises(StoreFull):
        spool.put(job("r2"), bytes(2_000))
    oldest = spool.oldest()
    assert oldest is not None
    assert oldest.job.result_id == "r1"
    kept = sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file())
    with pytest.raises(StoreFull):
        Spool(tmp_path, max_bytes=kept).put(job("r3"), b"three")
    spool.delete(oldest.name)
    spool.put(job("r2"), bytes(2_000))


def test_half_a_frame_left_by_a_crash_is_cleared_away(tmp_path: Path) -> None:
    """A crash before the job file is in place leaves nothing that is ever read; the source still has it."""
    Spool(tmp_path, max_bytes=100_000)
    (tmp_path / "00000000000000000001-r1.frame").write_bytes(b"pixels")
    (tmp_path / "00000000000000000002-r2.frame.part").write_bytes(b"pix")
    (tmp_path / "00000000000000000003-r3.json.part").write_bytes(b"{")
    assert Spool(tmp_path, max_bytes=100_000).oldest() is None
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_an_unreadable_job_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    """It does not block the frames behind it, and a person finds it in `refused`."""
    spool = Spool(tmp_path, max_bytes=100_000)
    spool.put(job("r1"), b"one")
    spool.put(job("r2"), b"two")
    [broken] = tmp_path.glob("*-r1.json")
    broken.write_text('{"result_id": "r1"}')
    oldest = spool.oldest()
    assert oldest is not None
    assert oldest.job.result_id == "r2"
    names = {path.name.partition("-")[2] for path in (tmp_path / "refused").iterdir()}
    assert names == {"r1.json", "r1.frame", "r1.problem.json"}


def test_a_frame_can_be_set_aside(tmp_path: Path) -> None:
    """What Redis will never take leaves the queue with its problem beside it."""
    spool = Spool(tmp_path, max_bytes=100_000)
    spool.put(job("r1"), b"one")
    oldest = spool.oldest()
    assert oldest is not None
    spool.set_aside(oldest.name, PROBLEM)
    assert spool.oldest() is None
    assert len(spool) == 0
    names = {path.name.partition("-")[2] for path in (tmp_path / "refused").iterdir()}
    assert names == {"r1.json", "r1.frame", "r1.problem.json"}


def test_a_full_disk_is_a_full_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space left on the device: nothing is kept, no half file stays, and the error says so."""

    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    spool = Spool(tmp_path, max_bytes=100_000)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(StoreFull):
            spool.put(job("r1"), b"one")
    assert len(spool) == 0
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []
    spool.put(job("r1"), b"one")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is told at the start."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="file"):
        Spool(tmp_path / "file" / "spool", max_bytes=1)
