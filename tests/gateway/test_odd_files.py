"""A file that nobody foresaw is that file's problem alone: the camera's other parts go on."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.frame import MAX_FRAME_BYTES
from schemas.problem import Problem
from services.gateway.health import FrameOutcome
from tests.conftest import WaitUntil
from tests.gateway.plant import PATIENCE, Plant, folder_config, png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The watched folder."""
    path = tmp_path / "incoming"
    path.mkdir()
    return path


def _latin_1(folder: Path) -> Path:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/Stra\xdfe.png"))
    path.write_bytes(png())
    return path


def _long_name(folder: Path) -> Path:
    path = folder / ("N" * 246 + ".png")
    path.write_bytes(png())
    return path


def _longest_name(folder: Path) -> Path:
    path = folder / ("N" * 252 + ".jp")
    path.write_bytes(png())
    return path


def _long_ending(folder: Path) -> Path:
    path = folder / ("no serial." + "e" * 245)
    path.write_bytes(png())
    return path


def _sidecar_folder(folder: Path) -> Path:
    (folder / "SN-0.json").mkdir()
    (folder / "SN-0.json" / "inside").touch()
    path = folder / "SN-0.png"
    path.write_bytes(png())
    return path


def _too_large(folder: Path) -> Path:
    path = folder / "SN-0.png"
    path.write_bytes(png())
    os.truncate(path, MAX_FRAME_BYTES + 1)
    return path


ODD_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a name in Latin-1": (_latin_1, "bad-request"),
    "a name of 250 letters": (_long_name, "bad-request"),
    "a name of 255 letters, too long for a sidecar": (_longest_name, "bad-request"),
    "an ending of 250 letters": (_long_ending, "bad-request"),
    "a sidecar that is a folder": (_sidecar_folder, "bad-request"),
    "more bytes than a store takes": (_too_large, "frame-too-large"),
}


@pytest.mark.parametrize("kind", ODD_FILES)
def test_an_odd_file_is_set_aside_and_the_next_part_is_taken(
    plant: Plant, folder: Path, wait_until: WaitUntil, kind: str
) -> None:
    """It lies in `rejected/` beside its problem and among the dead letters, and nothing failed."""
    make, code = ODD_FILES[kind]
    odd = make(folder)
    (folder / "SN-1.png").write_bytes(png(1))
    with plant.running(folder_config(folder)):
        wait_until(lambda: not odd.exists() and not (folder / "SN-1.png").exists(), PATIENCE)
        dead = wait_until(lambda: next(iter(plant.ledger.jobs.dead_letters(1)), None), PATIENCE)
    (record,) = (folder / "rejected").glob("*.problem.json")
    problem = Problem.model_validate_json(record.read_bytes())

    assert plant.parts() == ["SN-1"]
    assert dead is not None
    assert dead.problem == problem
    assert (problem.code, bool(problem.hint)) == (code, True)
    assert record.with_name(record.name.removesuffix(".problem.json")).exists()
    assert plant.health.total(FrameOutcome.FAILED) == 0


def test_two_long_names_that_begin_alike_are_both_kept(
    plant: Plant, folder: Path, wait_until: WaitUntil
) -> None:
    """A name that must be cut for its problem record to fit gets a number where another has it."""
    for letter in "AB":
        (folder / ("N" * 245 + letter + ".png")).write_bytes(png())
    with plant.running(folder_config(folder)):
        wait_until(lambda: plant.health.total(FrameOutcome.REJECTED) == 2, PATIENCE)

    assert len(list((folder / "rejected").glob("*.png"))) == 2
    assert len(list((folder / "rejected").glob("*.problem.json"))) == 2


def test_a_file_that_cannot_be_moved_is_told_and_the_next_part_is_taken(
    plant: Plant, folder: Path, wait_until: WaitUntil
) -> None:
    """Where `rejected/` cannot be written the heartbeat says so; the camera's source goes on."""
    (folder / "rejected").write_text("a file where the folder should be")
    (folder / "notes.txt").write_bytes(b"not an image")
    with plant.running(folder_config(folder)):
        wait_until(lambda: plant.health.total(FrameOutcome.FAILED) >= 1, PATIENCE)
        (folder / "SN-1.png").write_bytes(png(1))
        wait_until((folder / "processed" / "SN-1.png").exists, PATIENCE)

    assert (folder / "notes.txt").exists()
    assert plant.parts() == ["SN-1"]
