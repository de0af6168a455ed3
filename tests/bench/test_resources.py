"""Every CUDA kernel compiles for every architecture, spills nothing, and takes what the document says."""

from functools import cache

import pytest

from bench.gpu.predicted import resources
from bench.gpu.predicted.machine_code import LIMITS, Resources, instructions_per_weight, occupancy
from bench.gpu.predicted.resources import ARCHITECTURES, compiled_for, cubin_of, measured, row, title, unit_of
from engine.kernels.cuda.cache import CubinCache
from engine.kernels.cuda.launch import Launch
from engine.kernels.cuda.ops import KERNELS
from tests.repository import ROOT

MOST_SHARED = {"sm_80": 163, "sm_86": 99, "sm_89": 99, "sm_90": 227, "sm_100": 227, "sm_120": 99}
"""KiB that a thread block may have (CUDA C++ Programming Guide 13.0, technical specifications)."""

CASES = [
    pytest.param(architecture, launch, id=f"{architecture} {title(launch)}")
    for architecture in ARCHITECTURES
    for launch in compiled_for(architecture)
]


@pytest.fixture(scope="session")
def cubins(pytestconfig: pytest.Config) -> CubinCache:
    """What was compiled in earlier runs, by the digest of its sources."""
    assert pytestconfig.cache is not None
    return CubinCache(pytestconfig.cache.mkdir("cubins"))


@cache
def document() -> dict[str, list[str]]:
    """The lines of the committed document, by architecture."""
    text = (ROOT / "docs" / "cuda_resources.md").read_text(encoding="utf-8")
    _, *sections = text.split("\n## ")
    return {lines[0]: lines for lines in (section.splitlines() for section in sections)}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("architecture", "launch"), CASES)
def test_a_kernel_compiles_without_spills_to_what_the_document_says(
    architecture: str, launch: Launch, cubins: CubinCache
) -> None:
    """Write the document anew with `python -m bench.gpu.predicted.resources > docs/cuda_resources.md`."""
    found = measured(launch, architecture, cubin_of(unit_of(launch, architecture), cubins))

    assert found.taken.stack == 0
    assert found.taken.local == 0
    assert found.occupancy > 0
    assert found.taken.shared + launch.shared <= MOST_SHARED[architecture] * 1024 + 1024
    assert row(launch, found) in document()[architecture]


def test_the_document_has_every_kernel_and_nothing_else() -> None:
    """A new kernel is compiled, too, and one that is gone leaves no line behind."""
    assert {launch.kernel for launch in resources.cases()} == set(KERNELS)
    assert list(document()) == list(ARCHITECTURES)
    for architecture, lines in document().items():
        assert sum(line.startswith("| ") for line in lines) == len(compiled_for(architecture)) + 2


@pytest.mark.parametrize(
    ("registers", "threads", "shared", "share"),
    [
        (32, 256, 0, 1.0),
        (64, 256, 0, 0.5),
        (255, 256, 0, 0.125),
        (32, 1024, 0, 1.0),
        (32, 256, 100_000, 0.25),
    ],
    ids=str,
)
def test_occupancy_is_bounded_by_what_runs_out_first(
    registers: int, threads: int, shared: int, share: float
) -> None:
    """Values of NVIDIA's occupancy calculator for sm_90: warps, registers, shared memory."""
    assert occupancy(Resources(registers, 0, 1024, 0), threads, shared, LIMITS["sm_90"]) == share


def test_instructions_are_those_of_the_loop_that_decodes(cubins: CubinCache) -> None:
    """Decoding alone takes two instructions a weight, by the format; a kernel without has none."""
    by_name = {title(launch): launch for launch in compiled_for("sm_90")}
    gemv, combine = by_name["expert_gemv, 1 at once"], by_name["combine"]

    counted = instructions_per_weight(cubin_of(unit_of(gemv, "sm_90"), cubins), "expert_gemv")
    assert counted is not None
    assert 2 < counted < 3
    assert instructions_per_weight(cubin_of(unit_of(combine, "sm_90"), cubins), "combine") is None
