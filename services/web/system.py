"""/system: one page for whoever runs the installation; it reads itself again when an event comes in."""

from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from services.api.ports import Ports, PortsOf
from services.api.routers.results import row_of
from services.api.state.plant import plant_status
from services.api.state.sentences import alarms, news
from services.infra.process.errors import StoreUnavailable
from services.infra.stores.results import ResultFilters
from services.web.templating import environment, page_headers

router = APIRouter(include_in_schema=False)

SHOWN_RESULTS = 24


@router.get("/system")
def system(ports: PortsOf) -> HTMLResponse:
    """The page; when a store is away it says which, with the hint, and 503."""
    try:
        return HTMLResponse(_page(ports), headers=page_headers())
    except StoreUnavailable as error:
        page = (
            environment().get_template("away.html").render(problem=error.problem(), moment=datetime.now(UTC))
        )
        headers = page_headers() | {"Retry-After": str(error.retry_after)}
        return HTMLResponse(page, status_code=error.status, headers=headers)


def _page(ports: Ports) -> str:
    status = plant_status(ports)
    page = ports.results.page(ResultFilters(), None, SHOWN_RESULTS)
    return (
        environment()
        .get_template("system.html")
        .render(
            status=status,
            alarms=list(alarms(status)),
            news=list(news(status)),
            engines=[each.heartbeat for each in status.processes if each.is_alive and each.heartbeat.engine],
            rows=[row_of(result) for result in page.results],
        )
    )
