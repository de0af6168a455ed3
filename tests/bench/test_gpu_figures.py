"""What the measurements on a GPU write down and hold against the targets."""

from pathlib import Path

import pytest
import torch

from bench.gpu.checks import Check, differing
from bench.gpu.rows import Row, Rows, Spread, Status, read_rows
from bench.gpu.targets import GEMV_BANDWIDTH, TARGETS, VERDICT_TIME, target_table


def test_a_row_is_on_disk_as_soon_as_it_is_known(tmp_path: Path) -> None:
    """A process that dies afterwards loses nothing but the line it was writing."""
    path = tmp_path / "rows"
    Rows("kernels", path).add("copy bandwidth", 3000.0, "GB/s", "a note")
    with path.open("a") as file:
        file.write('{"section": "kernels", "na')

    assert read_rows(path) == [Row("kernels", "copy bandwidth", 3000.0, "GB/s", "a note")]


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("no room"),
        ValueError("odd"),
        AssertionError("not launched"),
        AttributeError("no such function in this version"),
    ],
)
def test_what_fails_is_written_down_and_the_rest_goes_on(tmp_path: Path, failure: Exception) -> None:
    """One kernel's fault is one row."""
    rows = Rows("kernels", tmp_path / "rows")
    with rows.attempt("linear"):
        raise failure
    rows.add("encode", 1.0, "s")

    failed, measured = read_rows(tmp_path / "rows")
    assert (failed.name, failed.status, failed.value) == ("linear", Status.FAILED, None)
    assert failed.note.startswith(f"{type(failure).__name__}: {failure} (test_gpu_figures.py:")
    assert measured.status is Status.OK


def test_the_median_stands_between_where_nine_tenths_lie() -> None:
    """One slow run of twenty moves neither."""
    spread = Spread.of([*range(1, 21), 1000])

    assert (spread.low, spread.median, spread.high) == (2, 11, 20)
    assert str(Spread.of([0.002])) == "2.000-2.000 ms"
    assert Spread.of([0.006]).of_each(3) == Spread.of([0.002])


def judged(rows: list[Row], counts: bool = True) -> dict[str, tuple[str, str]]:
    """Measured and verdict, by the name of the target."""
    lines = target_table(rows, counts)
    return {
        target.name: (measured, holds) for target, (_, _, measured, holds) in zip(TARGETS, lines, strict=True)
    }


def test_the_worst_figure_of_a_name_is_held_against_its_target() -> None:
    """The least of what must be large, the most of what must be small."""
    rows = [Row("kernels", GEMV_BANDWIDTH, value, "%") for value in (80.0, 59.0)]
    rows += [Row("model", VERDICT_TIME, value, "ms") for value in (12.0, 24.0)]

    found = judged(rows)

    assert found[GEMV_BANDWIDTH] == ("59 %", "no")
    assert found[VERDICT_TIME] == ("24 ms", "yes")


@pytest.mark.parametrize("status", [Status.FAILED, Status.SKIPPED])
def test_a_target_of_which_a_part_is_missing_is_not_reached(status: Status) -> None:
    """Good figures for one size do not make up for a kernel that fails at the next, or was not measured."""
    rows = [
        Row("kernels", GEMV_BANDWIDTH, 80.0, "%"),
        Row("kernels", GEMV_BANDWIDTH, status=status),
    ]

    assert judged(rows)[GEMV_BANDWIDTH] == ("80 %", "-")


def test_values_that_differ_are_counted() -> None:
    """Those further apart than allowed, and those that are no numbers on one side."""
    expected = torch.tensor([1.0, -1.0, 1.0, -1.0])
    found = torch.tensor([1.0, -1.01, 1.5, float("nan")])

    assert differing(Check("exact", found, expected)) == 3
    assert differing(Check("close", found, expected, allowed=0.02)) == 2


def test_numbers_of_16_bits_may_be_rounded() -> None:
    """A large one by more than the spread allows; a wrong one is as wrong as in 32 bits."""
    expected = torch.tensor([100.0, *[1.0] * 999])
    found = expected.clone()
    found[0] += 0.5
    found[1] += 0.5

    assert differing(Check("32 bits", found, expected, allowed=0.02)) == 2
    assert differing(Check("16 bits", found.bfloat16(), expected, allowed=0.02)) == 1
