"""What a demo measured: decisions, accuracy against the known labels, reports, and milliseconds per stage."""

import os
import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.base import Message
from schemas.recipe import Recipe
from schemas.report import DiagnosisReport
from schemas.verdict import Decision, ProcessingTimes, Verdict
from services.cli.demo.samples import DemoSample

PERCENTILES = (50, 95, 99)
CPU_INFO = Path("/proc/cpuinfo")
"""Where Linux names the processor."""

NO_DEFECT = "none"
"""What a report names as the defect of a good part."""


@dataclass(frozen=True)
class SampleOutcome:
    """One sample with all that became of it."""

    sample: DemoSample
    recipe: Recipe
    verdict: Verdict
    report: DiagnosisReport | None

    @property
    def is_good(self) -> bool:
        """Whether the part is known to be acceptable."""
        return any(kind.acceptable and kind.name == self.sample.label for kind in self.recipe.classes)

    @property
    def predicted(self) -> str | None:
        """The most probable class; None for a part that was not inspected."""
        if not self.verdict.scores:
            return None
        return max(self.verdict.scores, key=lambda score: score.probability).name

    @property
    def is_right(self) -> bool:
        """Whether the most probable class is the known one."""
        return self.predicted == self.sample.label

    @property
    def report_is_right(self) -> bool:
        """Whether the report names the known class in the recipe's wording, or none for a good part."""
        if self.report is None:
            return False
        wording = next(kind.wording for kind in self.recipe.classes if kind.name == self.sample.label)
        return self.report.diagnosis.defect in ({wording, NO_DEFECT} if self.is_good else {wording})


class Accuracy(Message):
    """Fractions of parts whose most probable class is the known one."""

    all: float
    balanced: dict[str, float]
    """Per recipe the mean over the classes that occur, so that the frequent ones do not hide the rare."""


class ReportCount(Message):
    """How many reports there are, and how many name the known defect."""

    written: int
    defect_right: int


class VersionList(Message):
    """What produced the results; more than one entry means that it changed meanwhile."""

    code: tuple[str, ...]
    model: tuple[str, ...]
    model_digest: tuple[str, ...]
    recipes: dict[str, int]
    python: str


class Hardware(Message):
    """The machine that the figures were taken on."""

    machine: str
    processor: str
    cores: int | None
    memory_gib: float
    system: str


class Summary(Message):
    """What is written to summary.json; fractions are 0 to 1."""

    frames: int
    decisions: dict[Decision, int]
    accuracy: Accuracy
    escapes: int
    """Bad parts that were accepted."""
    overkill: int
    """Good parts that were rejected."""
    reports: ReportCount
    milliseconds: dict[str, dict[str, float]]
    """Per stage p50, p95 and p99."""
    versions: VersionList
    hardware: Hardware

    def in_words(self) -> tuple[str, ...]:
        """The summary in a few lines for a person."""
        decisions = ", ".join(
            f"{count} {decision.value}" for decision, count in self.decisions.items() if count
        )
        balanced = ", ".join(f"{recipe} {value:.0%}" for recipe, value in self.accuracy.balanced.items())
        verdict = self.milliseconds["verdict_total"]
        lines = [
            f"{self.frames} frames: {decisions}; {self.escapes} escaped, {self.overkill} overkill.",
            f"The known class was the most probable one in {self.accuracy.all:.0%} (balanced: {balanced}).",
            f"{self.reports.written} reports; {self.reports.defect_right} name the known defect.",
            f"Verdicts: half within {verdict['p50']:.0f} ms, 99 of 100 within {verdict['p99']:.0f} ms.",
        ]
        return tuple(lines)


def summarise(outcomes: Sequence[SampleOutcome]) -> Summary:
    """The summary of a finished demo."""
    reports = [outcome for outcome in outcomes if outcome.report is not None]
    return Summary(
        frames=len(outcomes),
        decisions=_decisions(outcomes),
        accuracy=_accuracy(outcomes),
        escapes=sum(not o.is_good and o.verdict.decision is Decision.ACCEPT for o in outcomes),
        overkill=sum(o.is_good and o.verdict.decision is Decision.REJECT for o in outcomes),
        reports=ReportCount(written=len(reports), defect_right=sum(o.report_is_right for o in reports)),
        milliseconds=_milliseconds(outcomes),
        versions=_versions(outcomes),
        hardware=_hardware(),
    )


def _decisions(outcomes: Sequence[SampleOutcome]) -> dict[Decision, int]:
    counted = Counter(outcome.verdict.decision for outcome in outcomes)
    return {decision: counted[decision] for decision in Decision}


def _accuracy(outcomes: Sequence[SampleOutcome]) -> Accuracy:
    by_recipe: dict[str, list[SampleOutcome]] = defaultdict(list)
    for outcome in outcomes:
        by_recipe[outcome.recipe.recipe_id].append(outcome)
    balanced = {recipe_id: _balanced(of_recipe) for recipe_id, of_recipe in sorted(by_recipe.items())}
    return Accuracy(all=_fraction_right(outcomes), balanced=balanced)


def _balanced(outcomes: Sequence[SampleOutcome]) -> float:
    """The mean over the classes that occur of the fraction named right (Brodersen et al. 2010)."""
    by_label: dict[str, list[SampleOutcome]] = defaultdict(list)
    for outcome in outcomes:
        by_label[outcome.sample.label].append(outcome)
    return sum(_fraction_right(of_label) for of_label in by_label.values()) / len(by_label)


def _fraction_right(outcomes: Sequence[SampleOutcome]) -> float:
    return sum(outcome.is_right for outcome in outcomes) / len(outcomes)


def _milliseconds(outcomes: Sequence[SampleOutcome]) -> dict[str, dict[str, float]]:
    verdicts = _stages("verdict", (o.verdict.processing_times for o in outcomes))
    reports = _stages("report", (o.report.processing_times for o in outcomes if o.report is not None))
    return {stage: _percentiles(values) for stage, values in {**verdicts, **reports}.items() if values}


def _stages(kind: str, times: Iterable[ProcessingTimes]) -> Mapping[str, Sequence[float]]:
    """Per stage: waiting, fetching and decoding, the engine, and all from acceptance to the result."""
    measured = list(times)
    return {
        f"{kind}_queue": [t.queue_ms for t in measured],
        f"{kind}_decode": [t.decode_ms for t in measured],
        f"{kind}_engine": [t.engine_ms for t in measured],
        f"{kind}_total": [t.total_ms for t in measured],
    }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(values, q)), 1) for q in PERCENTILES}


def _versions(outcomes: Sequence[SampleOutcome]) -> VersionList:
    versions = [outcome.verdict.versions for outcome in outcomes]
    return VersionList(
        code=tuple(sorted({v.code_version for v in versions})),
        model=tuple(sorted({v.model_name for v in versions})),
        model_digest=tuple(sorted({v.model_digest for v in versions if v.model_digest is not None})),
        recipes={o.recipe.recipe_id: o.recipe.version for o in outcomes},
        python=platform.python_version(),
    )


def _hardware() -> Hardware:
    return Hardware(
        machine=platform.machine(),
        processor=_processor(),
        cores=os.cpu_count(),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
    )


def _processor() -> str:
    """The processor's model name where the system tells it."""
    try:
        with CPU_INFO.open(encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
