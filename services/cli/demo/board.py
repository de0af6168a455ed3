"""The live table of a demo: one row a picture, filled in as verdicts and reports arrive."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from schemas.report import DiagnosisReport
from schemas.verdict import Verdict
from services.cli.console import say
from services.cli.demo.samples import DemoSample
from services.cli.rendering import decision_markup

REFRESH_PER_SECOND = 4
LOG_WIDTH = 150
"""Columns of the table where there is no terminal that could tell its own."""


class Board:
    """Shows how far each sample has come: a live table on a terminal, one line per event elsewhere."""

    def __init__(self, console: Console, samples: tuple[DemoSample, ...]) -> None:
        self._console = console
        self._samples = samples
        self._fed: set[str] = set()
        self._verdicts: dict[str, Verdict] = {}
        self._reports: dict[str, DiagnosisReport] = {}
        self._progress = Progress(
            TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        self._verdict_bar = self._progress.add_task("verdicts", total=len(samples))
        self._report_bar = self._progress.add_task("reports", total=0)
        self._escalated = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keeps the table on the screen while the block runs, and leaves the finished one behind."""
        if self._console.is_terminal:
            live = Live(
                get_renderable=self._render, console=self._console, refresh_per_second=REFRESH_PER_SECOND
            )
            with live:
                yield
        else:
            yield
            Console(file=self._console.file, width=LOG_WIDTH).print(self._table())

    def fed(self, sample: DemoSample) -> None:
        """The picture lies in its camera's folder."""
        self._fed.add(sample.part_id)

    def decided(self, sample: DemoSample, verdict: Verdict, *, escalated: bool) -> None:
        """The verdict has arrived; an escalated part gets a report later."""
        self._verdicts[sample.part_id] = verdict
        self._escalated += escalated
        self._advance(self._verdict_bar, len(self._verdicts))
        self._progress.update(self._report_bar, total=self._escalated)
        self._say(sample, f"{verdict.decision.value} {_defect(verdict)} {_milliseconds(verdict)} ms")

    def reported(self, sample: DemoSample, report: DiagnosisReport) -> None:
        """The report has arrived."""
        self._reports[sample.part_id] = report
        self._advance(self._report_bar, len(self._reports))
        self._say(sample, f"report: {_finding(report)}")

    def _advance(self, bar: TaskID, completed: int) -> None:
        self._progress.update(bar, completed=completed)

    def _say(self, sample: DemoSample, words: str) -> None:
        if not self._console.is_terminal:
            say(self._console, f"{sample.part_id:8} {sample.recipe_id:10} {words}")

    def _render(self) -> Group:
        return Group(self._table(), self._progress)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("part", "recipe", "known as", "verdict", "defect"):
            table.add_column(heading, no_wrap=True)
        table.add_column("p(defect)", justify="right")
        table.add_column("ms", justify="right")
        table.add_column("report", no_wrap=True)
        for sample in self._samples:
            table.add_row(sample.part_id, sample.recipe_id, sample.label, *self._found(sample))
        return table

    def _found(self, sample: DemoSample) -> tuple[str, str, str, str, str]:
        verdict = self._verdicts.get(sample.part_id)
        if verdict is None:
            return ("[dim]waiting[/dim]" if sample.part_id in self._fed else "", "", "", "", "")
        report = self._reports.get(sample.part_id)
        return (
            decision_markup(verdict.decision),
            _defect(verdict),
            "" if verdict.defect_probability is None else f"{verdict.defect_probability:.2f}",
            _milliseconds(verdict),
            "" if report is None else _finding(report),
        )


def _defect(verdict: Verdict) -> str:
    return verdict.defect_class or (verdict.problem.code if verdict.problem else "-")


def _milliseconds(verdict: Verdict) -> str:
    return f"{verdict.processing_times.total_ms:.0f}"


def _finding(report: DiagnosisReport) -> str:
    return f"{report.diagnosis.defect}, {report.diagnosis.severity}, {report.diagnosis.where}"
