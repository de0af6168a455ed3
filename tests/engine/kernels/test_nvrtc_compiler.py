"""Compiling at run time: what is refused, what is kept on disk, and which GPUs can be used."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine import DeviceUnavailable, resolve_device
from engine.errors import KernelUncompiled
from engine.kernels.cuda import sources
from engine.kernels.cuda.cache import CubinCache
from engine.kernels.cuda.compiler import compile_unit, compiler_version, fingerprint, unit
from engine.kernels.cuda.sources import SOURCES
from engine.kernels.cuda.support import Card, architecture, card_fault, device_fault

pytestmark = pytest.mark.slow

ROUTE = unit("route.cu", {"EXPERTS": "8"}, "sm_90")
CUBIN = b"\x7fELF machine code"


@pytest.fixture
def cubins(tmp_path: Path) -> CubinCache:
    """An empty cache."""
    return CubinCache(tmp_path / "kernels")


@pytest.fixture
def other_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the sources that a test may change."""
    copies = tmp_path / "sources"
    copies.mkdir()
    for path in SOURCES.glob("*.cu*"):
        (copies / path.name).write_bytes(path.read_bytes())
    sources.headers.cache_clear()
    monkeypatch.setattr("engine.kernels.cuda.sources.SOURCES", copies)
    yield copies
    sources.headers.cache_clear()


@pytest.mark.timeout(240)
def test_a_kernel_that_does_not_compile_is_told_with_the_log(other_sources: Path) -> None:
    """Which source, for which architecture, with which constants, and in which line."""
    source = other_sources / "route.cu"
    source.write_text(source.read_text(encoding="utf-8") + "\n#error not today\n", encoding="utf-8")

    with pytest.raises(
        KernelUncompiled, match=r"route\.cu does not compile for sm_90 with EXPERTS 8"
    ) as found:
        compile_unit(ROUTE)

    assert "not today" in found.value.detail
    assert "reinstall" in found.value.hint


@pytest.mark.timeout(240)
def test_compiling_leaves_the_bytes_that_python_shares_as_they_are() -> None:
    """The compiler writes its log into memory it is given; that of `b" "` belongs to every program part."""
    compile_unit(ROUTE)

    assert [bytes([value])[0] for value in range(256)] == list(range(256))


def test_a_fingerprint_tells_all_that_the_machine_code_depends_on(other_sources: Path) -> None:
    """Another constant, another architecture, another source or header is another fingerprint."""
    first = fingerprint(ROUTE)
    others = {
        fingerprint(unit("route.cu", {"EXPERTS": "16"}, "sm_90")),
        fingerprint(unit("route.cu", {"EXPERTS": "8"}, "sm_80")),
        fingerprint(unit("combine.cu", {"EXPERTS": "8"}, "sm_90")),
    }
    for name in ("route.cu", "intrinsics.cuh"):
        path = other_sources / name
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        sources.headers.cache_clear()
        others.add(fingerprint(ROUTE))

    assert len(others | {first}) == 6


def test_the_order_of_constants_does_not_matter() -> None:
    """Equal units are one unit."""
    assert unit("x.cu", {"A": "1", "B": "2"}, "sm_80") == unit("x.cu", {"B": "2", "A": "1"}, "sm_80")


def test_what_was_written_is_read_by_another_process(cubins: CubinCache, tmp_path: Path) -> None:
    """One file, and no half-written ones beside it."""
    assert cubins.read("a") is None
    cubins.write("a", CUBIN)
    cubins.write("a", CUBIN)

    assert CubinCache(tmp_path / "kernels").read("a") == CUBIN
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == ["a.cubin"]


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_a_damaged_file_counts_as_absent(
    cubins: CubinCache, tmp_path: Path, caplog: pytest.LogCaptureFixture, keep: int
) -> None:
    """Empty, cut off or one byte short: it is compiled again, and that is said."""
    cubins.write("a", CUBIN)
    path = tmp_path / "kernels" / "a.cubin"
    path.write_bytes(path.read_bytes()[:keep])

    assert cubins.read("a") is None
    assert "damaged" in caplog.text


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is kept, everything goes on."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    cubins = CubinCache(tmp_path / "file" / "kernels")

    cubins.write("a", CUBIN)
    cubins.write("b", CUBIN)

    assert cubins.read("a") is None
    assert caplog.text.count("not kept") == 1


@pytest.mark.parametrize(
    ("card", "said", "hint"),
    [
        (Card("Tesla T4", (7, 5), (13, 0)), "compute capability 7.5", "Ampere"),
        (Card("NVIDIA L4", (8, 9), (12, 8)), "knows CUDA 12.8", "update the NVIDIA driver"),
        (Card("NVIDIA X1", (14, 0), (14, 1)), "cannot compile for", "nvidia-cuda-nvrtc"),
    ],
    ids=str,
)
def test_a_card_that_cannot_be_used_is_told_why(card: Card, said: str, hint: str) -> None:
    """An old card, an old driver, a card newer than the compiler."""
    fault = card_fault(card, (13, 0), (80, 86, 89, 90, 100, 120))

    assert fault is not None
    assert said in fault.detail
    assert hint in fault.hint


@pytest.mark.parametrize("driver", [(13, 0), (13, 5), (14, 0)])
def test_a_newer_driver_serves(driver: tuple[int, int]) -> None:
    """Drivers run what older compilers made."""
    assert card_fault(Card("NVIDIA H100", (9, 0), driver), (13, 0), (80, 90)) is None


@pytest.mark.parametrize(
    ("capability", "found"),
    [((8, 0), "sm_80"), ((8, 7), "sm_86"), ((12, 1), "sm_120"), ((9, 0), "sm_90"), ((11, 0), None)],
    ids=str,
)
def test_a_card_runs_the_newest_code_of_its_generation(
    capability: tuple[int, int], found: str | None
) -> None:
    """Machine code serves later minor versions, never other major ones."""
    assert architecture(capability, (80, 86, 89, 90, 100, 120)) == found


def test_the_compiler_is_of_the_release_that_torch_is_built_with() -> None:
    """Torch's CUDA build brings NVRTC 13.0; another one beside it would be loaded instead."""
    assert compiler_version() == (13, 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_auto_takes_the_processor_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """What was asked for by name is an error with a hint; what was left open is decided and told."""
    fault = device_fault(0)
    assert fault is not None
    with caplog.at_level("INFO"):
        assert resolve_device("auto").type == "cpu"
    assert fault.detail in caplog.text
    with pytest.raises(DeviceUnavailable, match="torch sees"):
        resolve_device("cuda:0")
