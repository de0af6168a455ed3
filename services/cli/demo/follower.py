"""Shows the samples to their cameras one after another, and follows each to its verdict and its report."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.recipe import Recipe
from schemas.report import DiagnosisReport
from schemas.verdict import Verdict
from services.api.representations import ListedResult
from services.cli.client import ApiClient
from services.cli.demo.board import Board
from services.cli.demo.cameras import FolderCameras
from services.cli.demo.samples import DemoSample
from services.cli.demo.summary import SampleOutcome
from services.cli.errors import Incomplete
from services.cli.local.processes import Supervisor
from services.cli.local.readiness import require_running

POLL_SECONDS = 0.25


@dataclass
class _Course:
    """How far one sample has come."""

    sample: DemoSample
    recipe: Recipe
    verdict: Verdict | None = None
    report: DiagnosisReport | None = None
    given_up: str | None = None
    """Why no report will come."""

    @property
    def is_escalated(self) -> bool:
        return self.verdict is not None and self.verdict.decision in self.recipe.escalation.decisions

    @property
    def is_finished(self) -> bool:
        if self.verdict is None:
            return False
        return not self.is_escalated or self.report is not None or self.given_up is not None

    @property
    def waits_for(self) -> str:
        if self.verdict is None:
            return f"{self.sample.part_id} has no verdict"
        return f"{self.sample.part_id} has no report" + (f": {self.given_up}" if self.given_up else "")


class Follower:
    """Follows every sample of a demo through the API; writes each report's page below `reports_dir`."""

    def __init__(
        self,
        samples: Sequence[DemoSample],
        recipes: Mapping[str, Recipe],
        board: Board,
        api: ApiClient,
        reports_dir: Path,
    ) -> None:
        self._courses = {s.part_id: _Course(s, recipes[s.recipe_id]) for s in samples}
        self._board = board
        self._api = api
        self._reports_dir = reports_dir

    def follow(
        self,
        cameras: FolderCameras,
        samples_dir: Path,
        supervisor: Supervisor,
        pace_seconds: float,
        limit_seconds: float,
    ) -> list[SampleOutcome]:
        """Shows a picture every `pace_seconds` and returns when all have come to their end.

        Raises ProcessEnded when a process ends meanwhile, Incomplete for whatever is missing at the limit.
        """
        unseen = [course.sample for course in self._courses.values()]
        next_at = started = time.monotonic()
        while not all(course.is_finished for course in self._courses.values()):
            now = time.monotonic()
            if unseen and now >= next_at:
                cameras.show(samples_dir, unseen[0])
                self._board.fed(unseen.pop(0))
                next_at += pace_seconds
            self._look()
            require_running(supervisor)
            if now - started > limit_seconds:
                break
            time.sleep(POLL_SECONDS)
        return self._outcomes()

    def _look(self) -> None:
        for row in self._api.results().results:
            course = self._courses.get(row.verdict.part.part_id)
            if course is not None and not course.is_finished:
                self._take(course, row)

    def _take(self, course: _Course, row: ListedResult) -> None:
        if course.verdict is None:
            course.verdict = row.verdict
            self._board.decided(course.sample, row.verdict, escalated=course.is_escalated)
        if row.links.report is not None:
            course.report = self._api.report(row.verdict.result_id)
            self._keep_page(course, row.verdict.result_id)
            self._board.reported(course.sample, course.report)
        elif row.problem is not None:
            course.given_up = row.problem.detail

    def _keep_page(self, course: _Course, result_id: str) -> None:
        page = self._reports_dir / f"{course.sample.part_id}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(self._api.report_page(result_id), encoding="utf-8")

    def _outcomes(self) -> list[SampleOutcome]:
        missing = [c.waits_for for c in self._courses.values() if not c.is_finished or c.given_up is not None]
        if missing:
            raise Incomplete("; ".join(missing), hint="see the logs beside the summary for the reason")
        return [
            SampleOutcome(course.sample, course.recipe, course.verdict, course.report)
            for course in self._courses.values()
            if course.verdict is not None
        ]
