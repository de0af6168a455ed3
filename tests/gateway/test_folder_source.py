"""A watched folder: what is taken, when, and where the file goes."""

import json
from pathlib import Path

import pytest
from PIL import Image

from schemas.problem import Problem
from services.gateway.health import FrameOutcome
from tests.conftest import WaitUntil
from tests.gateway.plant import PATIENCE, Plant, folder_config, png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty camera folder."""
    path = tmp_path / "camera"
    path.mkdir()
    return path


def test_a_file_named_by_its_serial_becomes_a_job_and_moves_to_processed(
    plant: Plant, folder: Path, wait_until: WaitUntil
) -> None:
    """The name gives the part; the frame is in the store; the file is out of the way."""
    (folder / "SN-1.png").write_bytes(png())
    with plant.running(folder_config(folder)):
        wait_until((folder / "processed" / "SN-1.png").exists, PATIENCE)
    (job,) = plant.jobs()
    assert job.part.part_id == "SN-1"
    assert job.part.station_id == "station-surface"
    assert job.unusable_reason is None
    assert plant.frames.get(job.result_id) == png()
    assert not (folder / "SN-1.png").exists()


def test_a_sidecar_names_part_lot_and_job(plant: Plant, folder: Path, wait_until: WaitUntil) -> None:
    """`SERIAL.json` overrules the file's name, and goes where the image goes."""
    (folder / "shot.json").write_text(json.dumps({"part_id": "SN-7", "lot_id": "LOT-3", "job_id": "ORDER-5"}))
    (folder / "shot.png").write_bytes(png())
    config = folder_config(folder).model_copy(update={"lot_id": "LOT-1", "job_id": "ORDER-1"})
    with plant.running(config):
        wait_until((folder / "processed" / "shot.png").exists, PATIENCE)
    (job,) = plant.jobs()
    assert (job.part.part_id, job.part.lot_id, job.job_id) == ("SN-7", "LOT-3", "ORDER-5")
    assert (folder / "processed" / "shot.json").exists()


@pytest.mark.parametrize("named", ["ORDER-1", None])
def test_without_a_sidecar_lot_and_job_are_those_of_the_source(
    plant: Plant, folder: Path, wait_until: WaitUntil, named: str | None
) -> None:
    """The job falls back to the result id where the source names none."""
    (folder / "SN-1.png").write_bytes(png())
    with plant.running(folder_config(folder).model_copy(update={"lot_id": "LOT-1", "job_id": named})):
        wait_until((folder / "processed" / "SN-1.png").exists, PATIENCE)
    (job,) = plant.jobs()
    assert (job.part.lot_id, job.job_id) == ("LOT-1", named or job.result_id)


def test_files_are_taken_in_the_order_they_were_written(
    plant: Plant, folder: Path, wait_until: WaitUntil
) -> None:
    """What waits in the folder at the start comes first in, first out."""
    for number in (3, 1, 2):
        (folder / f"SN-{number}.png").write_bytes(png(number))
    with plant.running(folder_config(folder)):
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) == 3, PATIENCE)
    assert plant.parts() == ["SN-3", "SN-1", "SN-2"]


def test_a_half_written_file_is_taken_only_when_it_is_whole(
    plant: Plant, folder: Path, wait_until: WaitUntil
) -> None:
    """A copy that pauses in the middle is neither judged nor refused."""
    config = folder_config(folder).model_copy(update={"patience_seconds": 60.0})
    data = png()
    with plant.running(config), (folder / "SN-1.png").open("wb") as copy:
        copy.write(data[: len(data) // 2])
        copy.flush()
        (folder / "SN-2.png").write_bytes(png(2))
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) == 1, PATIENCE)
        assert plant.parts() == ["SN-2"]
        copy.write(data[len(data) // 2 :])
        copy.flush()
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) == 2, PATIENCE)
    assert plant.parts() == ["SN-2", "SN-1"]
    assert plant.health.total(FrameOutcome.REJECTED) == 0


def test_the_same_file_twice_is_one_job(plant: Plant, folder: Path, wait_until: WaitUntil) -> None:
    """A second delivery changes nothing, and both files are kept."""
    with plant.running(folder_config(folder)):
        (folder / "SN-1.png").write_bytes(png())
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) == 1, PATIENCE)
        wait_until(lambda: not (folder / "SN-1.png").exists(), PATIENCE)
        (folder / "SN-1.png").write_bytes(png())
        wait_until((folder / "processed" / "SN-1.2.png").exists, PATIENCE)
    assert plant.parts() == ["SN-1"]
    assert plant.health.total(FrameOutcome.REPEATED) == 1


def test_a_restart_before_the_file_was_moved_repeats_nothing(
    plant: Plant, folder: Path, wait_until: WaitUntil
) -> None:
    """A crash between accepting and moving leaves the file; the next gateway moves it and adds no job."""
    config = folder_config(folder)
    for _ in range(2):
        (folder / "SN-1.png").write_bytes(png())
        with plant.running(config):
            wait_until(lambda: not (folder / "SN-1.png").exists(), PATIENCE)
    assert plant.parts() == ["SN-1"]


@pytest.mark.parametrize(
    ("name", "content", "code", "field"),
    [
        ("notes.txt", b"not an image", "unsupported-image", None),
        ("empty.png", b"", "frame-truncated", None),
        ("cut.png", png()[:2000], "frame-truncated", None),
        ("no serial!.png", png(), "bad-request", "part_id"),
    ],
)
def test_a_wrong_file_lies_in_rejected_beside_its_problem(
    plant: Plant,
    folder: Path,
    wait_until: WaitUntil,
    name: str,
    content: bytes,
    code: str,
    field: str | None,
) -> None:
    """It is counted, kept, and told among the dead letters; never a job, never silence."""
    (folder / name).write_bytes(content)
    with plant.running(folder_config(folder)):
        wait_until((folder / "rejected" / name).exists, PATIENCE)
        letter = wait_until(lambda: next(iter(plant.ledger.jobs.dead_letters(1)), None), PATIENCE)
    problem = Problem.model_validate_json((folder / "rejected" / f"{name}.problem.json").read_text())
    assert problem.code == code
    assert problem.hint
    assert [error.field for error in problem.errors] == ([field] if field else [])
    assert letter is not None
    assert letter.problem == problem
    assert plant.jobs() == []
    assert plant.ledger.telemetry.counters()["camera.cam-1.rejected"] == 1


def test_a_wrong_sidecar_is_refused_with_its_field(plant: Plant, folder: Path, wait_until: WaitUntil) -> None:
    """The problem names the sidecar and the field; correcting it and moving both back is enough."""
    (folder / "SN-1.json").write_text('{"lot": "LOT-3"}')
    (folder / "SN-1.png").write_bytes(png())
    rejected = folder / "rejected"
    with plant.running(folder_config(folder)):
        wait_until((rejected / "SN-1.png").exists, PATIENCE)
        problem = Problem.model_validate_json((rejected / "SN-1.png.problem.json").read_text())
        assert [(error.file, error.field) for error in problem.errors] == [("SN-1.json", "lot")]
        (rejected / "SN-1.json").unlink()
        (folder / "SN-1.json").write_text('{"lot_id": "LOT-3"}')
        (rejected / "SN-1.png").rename(folder / "SN-1.png")
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) == 1, PATIENCE)
    assert plant.jobs()[0].part.lot_id == "LOT-3"


def test_real_microscope_pictures_pass_the_gate(
    plant: Plant, folder: Path, shared_data: Path, wait_until: WaitUntil
) -> None:
    """Ten real pictures of ten parts become ten jobs, none of them unusable."""
    sources = sorted((shared_data / "mcbt" / "test").glob("*/*.*"))[::7]
    for source in sources:
        (folder / f"{source.parent.name}-{source.name}").write_bytes(source.read_bytes())
    with plant.running(folder_config(folder)):
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) == len(sources) == 10, PATIENCE)
    assert sorted(plant.parts()) == sorted(f"{source.parent.name}-{source.stem}" for source in sources)


def test_names_of_unfinished_copies_wait_for_their_real_name(
    plant: Plant, folder: Path, wait_until: WaitUntil
) -> None:
    """`.part`, `.tmp` and hidden files belong to the program that copies."""
    Image.new("RGB", (64, 64)).save(folder / "SN-0.png.part", format="PNG")
    (folder / ".SN-2.png.x1").write_bytes(png(2)[:100])
    (folder / "SN-1.png").write_bytes(png())
    with plant.running(folder_config(folder)):
        wait_until(lambda: plant.health.total(FrameOutcome.ACCEPTED) == 1, PATIENCE)
    assert (folder / "SN-0.png.part").exists()
    assert (folder / ".SN-2.png.x1").exists()
    assert plant.health.total(FrameOutcome.REJECTED) == 0
