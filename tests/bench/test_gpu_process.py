"""Each section of the measurements is by itself: whatever happens in one, the others are measured."""

import json
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from bench.gpu import process as gpu_process
from bench.gpu.clock import WallClock
from bench.gpu.process import Ended, Section, Trial, last_begun, measured, run
from bench.gpu.rows import Rows, Status, read_rows
from bench.gpu.section import LOST, measure
from bench.gpu.setting import SMALL, Part, Setting
from bench.gpu.targets import GEMV_BANDWIDTH, WEIGHTS, WRONG
from tests.conftest import WaitUntil
from tests.repository import ROOT

ALLOWED = ("torch", "numpy", "safetensors", "tokenizers", "pillow", "cuda-core", "cuda-bindings")
"""What a rented machine is asked to have, beside the compiler that comes with torch."""

ABSENT = ("celery", "cv2", "fastapi", "llguidance", "psutil", "pydantic", "redis", "transformers", "yaml")
COMPILED = ("lynceus",)
"""The CPU's kernels, in which the program is tried."""


def needed(names: tuple[str, ...]) -> set[str]:
    """These distributions and all that they require here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonical(waiting.pop())
        if name not in found:
            found.add(name)
            required = [Requirement(line) for line in metadata.requires(name) or ()]
            waiting += [one.name for one in required if not one.marker or one.marker.evaluate({"extra": ""})]
    return found


def canonical(name: str) -> str:
    """A distribution's name as packages are told apart by it."""
    return name.lower().replace("_", "-")


def rented(folder: Path) -> Path:
    """Python in an environment of the allowed packages alone, without our own dependencies among theirs."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    ours = {canonical(Requirement(line).name) for line in metadata.requires("lynceus") or ()}
    for name in (needed(ALLOWED) - ours).union(ALLOWED, COMPILED):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
            link = site / top
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin" / "python"


@pytest.mark.timeout(240)  # all of it, twice as slow where others compute
def test_it_runs_as_a_path_with_nothing_but_the_allowed_packages(tmp_path: Path) -> None:
    """As on a rented machine: `python bench/gpu`, from anywhere, where our other packages are not."""
    python = rented(tmp_path / "environment")
    absent = "; ".join(f"assert find_spec({name!r}) is None, {name!r}" for name in ABSENT)
    subprocess.run([python, "-c", f"from importlib.util import find_spec; {absent}"], check=True)
    command = [str(python), str(ROOT / "bench" / "gpu"), "--device", "cpu", "--tiny", "--seed", "5"]

    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    content = json.loads((tmp_path / "gpu.json").read_text())
    assert (content["machine"]["seed"], content["machine"]["clock"]) == ("5", "wall clock")
    rows = content["rows"]
    assert {row["section"] for row in rows if row["status"] == "ok"} == {"correctness", "kernels", "model"}
    assert [row for row in rows if row["status"] == "failed" or (row["name"] == WRONG and row["value"])] == []
    assert {row["name"] for row in rows} >= {"encode", "prompt", "int8 peak", WEIGHTS}


@pytest.mark.parametrize(
    ("program", "seconds", "code", "said"),
    [
        ("import sys; sys.exit('the device is gone')", 30.0, 1, "the device is gone"),
        ("import os; os.abort()", 30.0, -6, ""),
        ("print(*range(100), sep='\\n')", 30.0, 0, "\n19\n... 60 lines ...\n80\n"),
        ("import time; print('begun', flush=True); time.sleep(60)", 1.0, None, "begun"),
    ],
    ids=["error", "crash", "many words", "time"],
)
def test_how_a_process_ended_is_known(program: str, seconds: float, code: int | None, said: str) -> None:
    """With what it said first and last."""
    ended = run([sys.executable, "-c", program], seconds)

    assert ended.code == code
    assert said in ended.said


def test_what_a_stopped_process_started_is_stopped_too(tmp_path: Path, wait_until: WaitUntil) -> None:
    """The sanitizer starts the program that it watches: that must not go on with the GPU."""
    inner = f"import os, pathlib, time; pathlib.Path({str(tmp_path / 'id')!r}).write_text(str(os.getpid())); "
    inner += "time.sleep(60)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"

    assert run([sys.executable, "-c", outer], 2.0).code is None

    inner_id = int((tmp_path / "id").read_text())
    wait_until(lambda: not running(inner_id))


def running(process: int) -> bool:
    """Whether it is there and not only waits for its parent to notice its end."""
    state = Path(f"/proc/{process}/stat")
    return state.exists() and not state.read_text().split(") ")[1].startswith("Z")


def in_turn(
    monkeypatch: pytest.MonkeyPatch, *processes: Callable[[Path, Path, str | None], int | None]
) -> list[str | None]:
    """Let these functions stand for the processes, one after the other; behind which part each began."""
    waiting, began = list(processes), list[str | None]()

    def stand_in(command: list[str], seconds: float, *, sanitized: bool) -> Ended:
        del seconds, sanitized
        after = command[command.index("--after") + 1] if "--after" in command else None
        began.append(after)
        rows, begun = (Path(command[command.index(name) + 1]) for name in ("--rows", "--begun"))
        return Ended(waiting.pop(0)(rows, begun, after), "what was said")

    monkeypatch.setattr(gpu_process, "run", stand_in)
    return began


def begins(begun: Path, name: str, *names: str) -> None:
    """Write down what a process does before a part."""
    with begun.open("a") as file:
        file.write(json.dumps([name, names or [name]]) + "\n")


SECTION = Section("kernels", 60)


def trial(tmp_path: Path) -> Trial:
    """On a GPU that no process asks for."""
    return Trial("cuda:0", tiny=True, seed=1, folder=tmp_path)


def test_behind_a_part_that_ends_its_process_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its figures have failed, and what was measured before it is kept."""

    def dies(rows: Path, begun: Path, _: str | None) -> int:
        Rows("kernels", rows).add("first", 1.0, "s")
        begins(begun, "one")
        begins(begun, "two", GEMV_BANDWIDTH)
        return -11

    def lives(rows: Path, begun: Path, after: str | None) -> int:
        assert after == "two"
        begins(begun, "three")
        Rows("kernels", rows).add("third", 3.0, "s")
        return 0

    began = in_turn(monkeypatch, dies, lives)

    first, failed, third = measured(trial(tmp_path), SECTION, time.monotonic() + 60)

    assert began == [None, "two"]
    assert (first.name, third.name) == ("first", "third")
    assert (failed.name, failed.status) == (GEMV_BANDWIDTH, Status.FAILED)
    assert failed.note == "two: exit code -11\nwhat was said"


def test_a_lost_device_is_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the part that lost it, where it noticed; else by the process."""

    def notices(rows: Path, begun: Path, _: str | None) -> int:
        begins(begun, "one")
        with Rows("kernels", rows).attempt("one"):
            raise RuntimeError("an illegal memory access was encountered")
        return LOST

    def does_not(rows: Path, begun: Path, _: str | None) -> int:
        Rows("kernels", rows).add("second", 2.0, "s")
        begins(begun, "two")
        return LOST

    in_turn(monkeypatch, notices, does_not, lambda *_: 0)

    told, second, untold = measured(trial(tmp_path), SECTION, time.monotonic() + 60)

    assert "illegal memory access" in told.note
    assert second.value == 2.0
    assert untold.note.startswith("two: the device answers nothing any more")


def test_the_sanitizer_watches_the_section_it_is_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a GPU, wherever it lies; it tells memory errors by the exit code."""
    monkeypatch.setattr(gpu_process, "sanitizer", lambda: "/opt/it")
    memcheck = next(section for section in gpu_process.SECTIONS if section.sanitized)

    command, _, _ = trial(tmp_path).command(memcheck, None, 10.0)

    assert command[:4] == ["/opt/it", "--error-exitcode", "9", sys.executable]
    assert trial(tmp_path).refusal(memcheck) is None
    assert Trial("cpu", tiny=True, seed=1, folder=tmp_path).refusal(memcheck) is not None


def test_parts_for_which_no_time_is_left_are_skipped_by_name(tmp_path: Path) -> None:
    """A part that fails leaves the others; behind the end none begins."""
    device = torch.device("cpu")
    rows, begun = Rows("model", tmp_path / "rows"), tmp_path / "begun"
    setting = Setting(device, WallClock(), torch.Generator(device), SMALL, rows, seed=0)

    def fails(_: Setting) -> None:
        raise RuntimeError("no room")

    parts = {"a": Part(fails, ("x", "y")), "b": Part(lambda made: made.rows.add("b", 1.0, "s"))}

    assert measure(parts, setting, begun, time.monotonic() + 60) == 0
    assert measure({"c": Part(fails, ("z",))}, setting, begun, time.monotonic()) == 0

    found = [(row.name, row.status) for row in read_rows(tmp_path / "rows")]
    assert found == [("x", "failed"), ("y", "failed"), ("b", "ok"), ("z", "skipped")]
    assert last_begun(begun) == ("b", ["b"])
