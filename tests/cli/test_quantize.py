"""`lynceus quantize` as a person runs it: what it shows and leaves, what it refuses, and what it survives."""

import io
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from engine import CheckpointInvalid
from engine.checkpoint.tensors import StoredTensors, digest_of
from engine.compression import CompressionProgress
from engine.model import load
from services.cli.compression.progress import shown
from services.cli.places import PROJECT_ROOT, SAMPLES
from tests.cli.conftest import Lynceus
from tests.conftest import WaitUntil
from tests.engine.compression.conftest import SHAPE
from tests.engine.tiny import write_checkpoint

FIRST_SPARSE_LAYER = "model-00003-of-00004.safetensors"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint in the released layout; tests must not change it."""
    return write_checkpoint(tmp_path_factory.mktemp("source"), SHAPE, seed=4)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plant's folder of pictures, with one of them in a subfolder named as its recipe."""
    folder = tmp_path_factory.mktemp("pictures") / "surface"
    folder.mkdir()
    shutil.copy(min((SAMPLES / "surface").glob("*.*")), folder)
    return folder.parent


def _start(source: Path, target: Path, *options: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "services.cli", "quantize", str(source), str(target), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=pipe, stderr=pipe, text=True)


def _run(source: Path, target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    process = _start(source, target, *options)
    printed, messages = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, printed, messages)


Whole = tuple[Path, str]
"""A finished checkpoint, and what the command printed."""


@pytest.fixture(scope="module")
def whole(source: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The command with pictures, run to its end once; tests must not change what it wrote."""
    target = tmp_path_factory.mktemp("whole") / "model"
    done = _run(source, target, "--calibrate", str(pictures))
    assert done.returncode == 0, done.stderr
    return target, done.stdout


def _bytes(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_log_file_says_how_far_it_is(whole: Whole) -> None:
    """Without a terminal there is a line for each thing begun, with the share that is done."""
    lines = whole[1].splitlines()

    begun = [line for line in lines if re.fullmatch(r" *\d+ % done: .+", line)]
    assert "  0 % done: embedding and vision" in begun
    assert " 50 % done: layer 2" in begun
    assert begun.index("  0 % done: layer 0") < begun.index(" 50 % done: layer 2")


def test_a_terminal_shows_a_bar_with_the_time_left() -> None:
    """What is being done, the share that is done, and the hours still to come."""
    screen = io.StringIO()
    with shown(Console(file=screen, force_terminal=True, width=100)) as tell:
        tell(CompressionProgress("layer 7", 250, 1000))

    assert "layer 7" in screen.getvalue()
    assert "25%" in screen.getvalue()
    assert "-:--:--" in screen.getvalue()


def test_the_end_tells_sizes_errors_and_where_the_report_lies(whole: Whole) -> None:
    """Two bits and one scale a channel make 2.125 bits at 128 input rows; paths are in one piece."""
    target, printed = whole
    lines = printed.splitlines()

    assert any(line.startswith(f"{target}: ") and "MB" in line for line in lines)
    assert f"Every tensor: {target / 'quantization.json'}" in lines
    assert "2.125 bits each" in printed
    assert "of the outputs" in printed


def test_the_report_has_an_error_for_every_tensor_and_the_sources_digest(source: Path, whole: Whole) -> None:
    """An auditor can tell which weights were quantized, with which pictures, and what each lost."""
    report = json.loads((whole[0] / "quantization.json").read_text(encoding="utf-8"))

    assert report["source_digest"] == digest_of(source)
    assert report["calibration"]["examples"] == 2
    assert report["tensors"].keys() == StoredTensors(source).names
    experts = [row for name, row in report["tensors"].items() if ".experts." in name]
    assert len(experts) == 2 * 2 * SHAPE.experts * 3
    assert all(0 < row["output_error"] < 0.2 for row in experts)


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--L", "17"), "window_bits (L) is 17"), (("--bits-elsewhere", "3"), "bits_elsewhere is 3")],
    ids=["window", "elsewhere"],
)
def test_a_number_without_a_format_is_refused(
    lynceus: Lynceus, source: Path, options: tuple[str, ...], word: str
) -> None:
    """The hint lists what may be chosen, and nothing was written."""
    told = lynceus("quantize", str(source), "target", *options)

    assert told.exit_code == 1
    assert word in told.messages
    assert "choose one of" in told.messages
    assert list(Path.cwd().iterdir()) == []


def test_a_source_that_is_no_checkpoint_is_refused(lynceus: Lynceus, tmp_path: Path) -> None:
    """The file that is missing is named."""
    (tmp_path / "empty").mkdir()

    for source in ("nowhere", "empty"):
        told = lynceus("quantize", source, "target")
        assert told.exit_code == 1
        assert f"{source}/config.json is missing" in told.messages
    assert not (tmp_path / "target").exists()


def test_what_is_in_two_bits_already_is_refused(lynceus: Lynceus, whole: Whole) -> None:
    """Encoding twice would lose twice."""
    told = lynceus("quantize", str(whole[0]), "target")

    assert told.exit_code == 1
    assert "in 2 bits already" in told.messages


def test_a_destination_that_is_taken_is_left_alone(lynceus: Lynceus, source: Path, tmp_path: Path) -> None:
    """Neither a folder nor a file of someone else is overwritten or built upon."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")

    for target in ("folder", "file", "file/below"):
        told = lynceus("quantize", str(source), target)
        assert told.exit_code == 1
        assert "Traceback" not in told.messages
        assert target in told.messages
    assert _bytes(tmp_path / "folder") == {"mine": b"kept"}
    assert (tmp_path / "file").read_text() == "kept"


def test_another_sources_half_is_not_mixed_in(lynceus: Lynceus, source: Path, tmp_path: Path) -> None:
    """A folder begun from other weights is named, and is not touched."""
    begun = tmp_path / "target.unfinished"
    begun.mkdir()
    (begun / "begun.json").write_text('{"source_digest": "other"}')

    told = lynceus("quantize", str(source), str(tmp_path / "target"))

    assert told.exit_code == 1
    assert "was begun from another source" in told.messages
    assert _bytes(begun) == {"begun.json": b'{"source_digest": "other"}'}


def test_a_corrupt_tensor_of_the_source_is_named(lynceus: Lynceus, source: Path, tmp_path: Path) -> None:
    """One number that is none, deep inside an expert; nothing that loads is left."""
    name = "model.layers.2.mlp.experts.3.down_proj.weight"
    damaged = Path(shutil.copytree(source, tmp_path / "damaged"))
    tensors = load_file(damaged / "model.safetensors")
    tensors[name][5, 7] = float("nan")
    save_file(tensors, damaged / "model.safetensors", metadata={"format": "pt"})

    told = lynceus("quantize", "damaged", "target")

    assert told.exit_code == 1
    assert f"{name} holds values that are not finite" in told.messages
    assert "copy the source again" in told.messages
    assert not (tmp_path / "target").exists()


def test_killed_from_outside_halfway_and_resumed_gives_the_same_bytes(
    source: Path, pictures: Path, whole: Whole, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """A kill -9 once the first sparse layer is on disk; the same command goes on and no byte differs."""
    target, growing = tmp_path / "target", tmp_path / "target.unfinished"
    process = _start(source, target, "--calibrate", str(pictures))
    wait_until((growing / FIRST_SPARSE_LAYER).exists, 50)
    process.kill()
    process.communicate()
    finished = (growing / FIRST_SPARSE_LAYER).stat().st_mtime_ns

    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    with pytest.raises(CheckpointInvalid):
        load(growing, torch.float32, "cpu")
    assert _run(source, target, "--calibrate", str(pictures)).returncode == 0
    assert (target / FIRST_SPARSE_LAYER).stat().st_mtime_ns == finished
    assert _bytes(target) == _bytes(whole[0])


class Disk:
    """A file system in memory with a size of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def size(self, size: int, *, mounted: bool) -> bool:
        """Whether it could be given that many bytes; mounting takes the right to."""
        options = f"{'remount,' if mounted else ''}size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.directory)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of a few megabytes."""
    if shutil.which("mount") is None or not (disk := Disk(tmp_path / "disk")).size(4_000_000, mounted=False):
        pytest.skip("no right to mount here; the engine's own tests stop at a limit on file sizes instead")
    yield disk
    subprocess.run(["umount", str(disk.directory)], check=True)


def test_a_full_disk_leaves_nothing_that_loads(source: Path, whole: Whole, disk: Disk) -> None:
    """The disk holds the weights but not what is needed on the way; with more room the command goes on."""
    weights = sum(path.stat().st_size for path in whole[0].glob("*.safetensors"))
    assert disk.size(weights, mounted=True)
    target = disk.directory / "model"
    failed = _run(source, target)

    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "No space left on device" in failed.stderr
    assert "goes on from what is finished" in failed.stderr
    assert not target.exists()
    with pytest.raises(CheckpointInvalid):
        load(disk.directory / "model.unfinished", torch.float32, "cpu")
    assert disk.size(4 * weights, mounted=True)
    assert _run(source, target).returncode == 0
    assert load(target, torch.float32, "cpu").weight_count > 0


def test_a_disk_that_is_too_small_is_refused_before_any_work(source: Path, disk: Disk) -> None:
    """The sizes wanted and free are said, and nothing was begun."""
    assert disk.size(200_000, mounted=True)
    failed = _run(source, disk.directory / "model")

    assert failed.returncode == 1
    assert "GB free" in failed.stderr
    assert list(disk.directory.iterdir()) == []
