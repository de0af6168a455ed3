"""The roofline page: its numbers come from its script, and the script's sums are right."""

import pytest

from bench.gpu.predicted import around, roofline
from bench.gpu.predicted.devices import DEVICES, Floor, Work
from engine.kernels.cuda.dispatch import Routed
from engine.kernels.cuda.sources import SOURCES
from tests.repository import ROOT

H100 = next(device for device in DEVICES if device.name.startswith("H100"))


def test_the_page_is_what_the_script_writes() -> None:
    """Write it anew with `python -m bench.gpu.predicted.roofline > docs/roofline.md`."""
    assert (ROOT / "docs" / "roofline.md").read_text(encoding="utf-8") == roofline.page()


@pytest.mark.parametrize(
    ("work", "limit"),
    [
        (Work(bytes=3352e9), "memory"),
        (Work(tensor=1979e12), "tensor cores"),
        (Work(integer=132 * 1.83e9 * 64), "integer units"),
        (Work(multiply=132 * 1.83e9 * 64), "integer units"),
        (Work(others=132 * 1.83e9 * 128), "issue"),
    ],
)
def test_each_limit_is_a_second_at_its_peak(work: Work, limit: str) -> None:
    """A second's worth of one thing takes a second, and names what it waited for."""
    floor = Floor.of(work, H100)

    assert floor.seconds == pytest.approx(1)
    assert floor.limit == limit


def test_one_token_reads_the_experts_it_chose() -> None:
    """Six experts of three matrices 2560 x 1536 at a quarter byte a weight, and little else."""
    weights = 6 * 3 * 2560 * 1536

    assert roofline.experts_hit(1) == pytest.approx(6)
    assert weights / 4 <= roofline.experts_few(1, 1536).bytes <= 1.02 * weights / 4


def test_encoding_counts_two_passes_over_every_window() -> None:
    """The whole model at 16 bits: 27.2e9 weights, four a byte, 65,536 windows, twice."""
    once = roofline.encode(1.0, 16)
    candidates = once.integer / (42 / 16)

    assert candidates == pytest.approx(65536 * 2 / 4)
    assert roofline.routed() == pytest.approx(27.2e9, rel=0.01)


def test_the_sorting_of_pairs_costs_a_walk_more_for_every_warps_steps() -> None:
    """Up to 1,024 pairs are a step a warp; twelve times as many are twelve, loaded four at a time."""
    one, twelve = (around.dispatch(Routed(pairs, 1, 64)) for pairs in (1024, 12 * 1024))

    ahead = f"kAhead = {around.AHEAD};"
    assert ahead in (SOURCES / "dispatch.cu").read_text(encoding="utf-8")
    loads, steps = 2 * (3 - 1) * around.LOAD, (12 - 1) * (8 * 17 + 8 * 40)
    assert (twelve - one) * H100.clock * 1e9 == pytest.approx(loads + steps)
