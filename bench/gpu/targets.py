"""What the GPU is to reach, and whether it did."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.gpu.rows import Row, Status

NOT_MEASURED = "not yet measured"


@dataclass(frozen=True)
class Target:
    """A bound for the figures of one name; `least` says whether it is the least or the most that will do.

    Where several rows share the name, the worst of them counts.
    """

    what: str
    name: str
    bound: float
    unit: str
    least: bool

    def value(self, rows: Sequence[Row]) -> float | None:
        """The worst figure, or None where there is none."""
        values = [row.value for row in rows if row.name == self.name and row.value is not None]
        if not values:
            return None
        return min(values) if self.least else max(values)

    def holds(self, rows: Sequence[Row]) -> bool | None:
        """Whether it was reached; None where it was not measured, or not all of it."""
        value = self.value(rows)
        missing = any(row.name == self.name and row.status is not Status.OK for row in rows)
        if value is None or missing:
            return None
        return value >= self.bound if self.least else value <= self.bound

    @property
    def wanted(self) -> str:
        """The bound in words."""
        return f"{'at least' if self.least else 'at most'} {self.bound:g} {self.unit}"


GEMV_BANDWIDTH = "expert_gemv, share of the copy bandwidth"
GEMM_PEAK = "expert_gemm, share of the int8 peak"
GEMM_BASELINE = "expert_gemm, times the bf16 loop"
DISPATCH_SHARE = "dispatch and combine, share of a layer"
VERDICT_TIME = "verdict at batch 1"
REPORT_RATE = "report, one stream"
WEIGHTS = "weights on the device"
WRONG = "values that differ from the reference"


def verdict_rate(batch: int) -> str:
    """The name of the rate at which verdicts are given, so many in a pass."""
    return f"verdicts at batch {batch}"


TARGETS = (
    Target("Every kernel computes what its reference does", WRONG, 0, "values", least=False),
    Target("expert_gemv at batch 1 to 8, measured bandwidth", GEMV_BANDWIDTH, 60, "%", least=True),
    Target("expert_gemm at 2,048 tokens, measured int8 peak", GEMM_PEAK, 50, "%", least=True),
    Target("expert_gemm beside a loop of bf16 products", GEMM_BASELINE, 2, "x", least=True),
    Target("Dispatch and combine within a layer", DISPATCH_SHARE, 5, "%", least=False),
    Target("One verdict, 448 x 448 and 60 tokens", VERDICT_TIME, 25, "ms", least=False),
    Target("Verdicts at batch 32", verdict_rate(32), 100, "/s", least=True),
    Target("A report, one stream", REPORT_RATE, 150, "tokens/s", least=True),
    Target("All weights of the 28B model", WEIGHTS, 9.5, "GB", least=False),
)
"""For an H100; elsewhere they are shown for comparison."""


def target_table(rows: Sequence[Row], counts: bool) -> list[tuple[str, str, str, str]]:
    """What, wanted, measured, and whether it holds, for each target.

    Where the times do not count, because the program was only tried, what was computed is judged alone.
    """
    answers = {True: "yes", False: "no", None: "-"}
    rows = [row for row in rows if counts or row.name == WRONG]
    table = []
    for target in TARGETS:
        value = target.value(rows)
        measured = NOT_MEASURED if value is None else f"{value:.4g} {target.unit}"
        table.append((target.what, target.wanted, measured, answers[target.holds(rows)]))
    return table
