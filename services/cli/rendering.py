"""How verdicts, reports and the state of a plant look on a terminal."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.report import DiagnosisReport
from schemas.verdict import Decision
from services.api.representations import InspectionState
from services.cli.console import say

if TYPE_CHECKING:
    from services.api.routers.status import StatusAnswer
    from services.api.state.plant import Process

DECISION_STYLES = {
    Decision.ACCEPT: "green",
    Decision.REVIEW: "yellow",
    Decision.REJECT: "red",
    Decision.NOT_INSPECTED: "magenta",
}


def decision_markup(decision: Decision) -> str:
    """The decision in its colour."""
    return f"[{DECISION_STYLES[decision]}]{decision.value}[/]"


def print_inspection(console: Console, inspection: InspectionState) -> None:
    """The verdict with its scores, what went wrong, and where the report is."""
    verdict = inspection.verdict
    if verdict is not None:
        defect = f" {verdict.defect_class}" if verdict.defect_class else ""
        console.print(f"{decision_markup(verdict.decision)}{escape(defect)}", highlight=False)
        scores = sorted(verdict.scores, key=lambda score: score.probability, reverse=True)
        _grid(console, [(f"  {score.name}", f"{score.probability:.3f}") for score in scores])
    for problem in (verdict.problem if verdict else None, inspection.problem):
        if problem is not None:
            say(console, f"  {problem.title}: {problem.detail}")
    if inspection.links.report is not None:
        say(console, f"Report: lynceus report {inspection.result_id}")


def print_report(console: Console, report: DiagnosisReport) -> None:
    """The report field by field, as the page shows it."""
    diagnosis = report.diagnosis
    console.print(
        f"[bold]{report.part.part_id}[/bold] {decision_markup(report.decision)} {report.state.value}",
        highlight=False,
    )
    causes = [f"{cause.cause} ({cause.likelihood})" for cause in diagnosis.probable_causes]
    _grid(
        console,
        [
            ("defect", f"{diagnosis.defect} ({diagnosis.severity})"),
            ("where", diagnosis.where),
            *_listed("evidence", diagnosis.evidence),
            *_listed("probable causes", causes),
            ("containment", diagnosis.containment),
            *_listed("corrective actions", diagnosis.corrective_actions),
            ("reasoning", report.reasoning),
            ("model", report.versions.model_name),
        ],
    )


def print_status(console: Console, status: "StatusAnswer") -> None:
    """Sentences first, then processes and latencies as tables."""
    for sentence in status.in_words:
        say(console, sentence)
    processes = Table("process", "name", "state", "finished", "failures", box=None, header_style="bold")
    for process in status.processes:
        heartbeat = process.heartbeat
        processes.add_row(
            heartbeat.kind,
            escape(heartbeat.name),
            _state(process),
            str(heartbeat.finished),
            str(heartbeat.failures),
        )
    latencies = Table("stage", "results", "p50 ms", "p95 ms", "p99 ms", box=None, header_style="bold")
    for stage in status.latencies:
        numbers = (f"{value:.0f}" for value in (stage.p50_ms, stage.p95_ms, stage.p99_ms))
        latencies.add_row(stage.stage, str(stage.count), *numbers)
    for table in (processes, latencies):
        if table.row_count:
            console.print()
            console.print(table)


def _state(process: "Process") -> str:
    if not process.is_alive:
        return f"[red]silent for {process.silent_seconds:.0f} s[/]"
    return "[red]cannot go on[/]" if process.heartbeat.fault else "[green]alive[/]"


def _listed(name: str, items: Sequence[str]) -> list[tuple[str, str]]:
    """One row an item; the name stands beside the first."""
    return [(name if number == 0 else "", item) for number, item in enumerate(items)]


def _grid(console: Console, rows: Iterable[tuple[str, str]]) -> None:
    grid = Table.grid(padding=(0, 2))
    for name, value in rows:
        grid.add_row(f"[dim]{escape(name)}[/dim]", escape(value))
    console.print(grid, highlight=False)
