"""/: each station's last part as large as it fits, what the day has brought, and what needs a hand."""

from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from schemas.verdict import Decision, Verdict
from services.api.ports import Ports, PortsOf
from services.api.state.plant import plant_status
from services.api.state.sentences import alarms
from services.infra.process.errors import StoreUnavailable, UnknownRecipe
from services.infra.stores.results import ResultFilters, StoredResult, Tally
from services.web.templating import environment, page_headers, strict_headers

router = APIRouter(include_in_schema=False)

STRIP = 20
"""How many verdicts of a station the strip shows."""

SHAPES = {
    Decision.ACCEPT: "●",
    Decision.REVIEW: "▲",
    Decision.REJECT: "■",
    Decision.NOT_INSPECTED: "✕",
}
"""The shape beside each decision's word: nothing is told by colour alone."""


@dataclass(frozen=True, slots=True)
class StationView:
    """What the page shows of one station; `strip` is newest first and begins with the last part."""

    tally: Tally
    strip: tuple[StoredResult, ...]
    deadline_ms: int | None

    @property
    def last(self) -> Verdict:
        """The verdict on the last part."""
        return self.strip[0].verdict

    @property
    def first_pass_yield(self) -> float:
        """Share of the day's verdicts that were ACCEPT."""
        return self.tally.counts.get(Decision.ACCEPT, 0) / self.tally.total

    def count(self, decision: str) -> int:
        """How many of the day's verdicts were this."""
        return self.tally.counts.get(Decision(decision), 0)


@router.get("/")
def line(ports: PortsOf, *, kiosk: bool = False) -> HTMLResponse:
    """The page, without its header in a kiosk; when a store is away it says which, with the hint, and 503."""
    try:
        return HTMLResponse(_page(ports, is_kiosk=kiosk), headers=strict_headers())
    except StoreUnavailable as error:
        page = (
            environment().get_template("away.html").render(problem=error.problem(), moment=datetime.now(UTC))
        )
        headers = page_headers() | {"Retry-After": str(error.retry_after)}
        return HTMLResponse(page, status_code=error.status, headers=headers)


def _page(ports: Ports, *, is_kiosk: bool) -> str:
    now = datetime.now().astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return (
        environment()
        .get_template("line.html")
        .render(
            moment=now,
            is_kiosk=is_kiosk,
            alarms=list(alarms(plant_status(ports))),
            stations=[_view(ports, tally) for tally in ports.results.tallies(midnight)],
            shapes=SHAPES,
        )
    )


def _view(ports: Ports, tally: Tally) -> StationView:
    strip = ports.results.page(ResultFilters(station=tally.station_id), None, STRIP).results
    try:
        deadline = ports.recipes.get(strip[0].verdict.part.recipe_id).deadline_ms
    except UnknownRecipe:
        deadline = None
    return StationView(tally, strip, deadline)
