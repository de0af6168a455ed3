"""/v1/reports: the written diagnosis, as data or as the page that is signed."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from schemas.report import DiagnosisReport
from services.api.identifiers import ResultId
from services.api.lookup import Known, find
from services.api.negotiation import best_match
from services.api.pages import page_headers
from services.api.ports import PortsOf
from services.api.report_page import render_report
from services.infra.errors import NotFound
from services.infra.ledger import Stage

router = APIRouter(prefix="/v1/reports", tags=["reports"])

JSON = "application/json"
HTML = "text/html"

WHY_NONE = {
    Stage.WAITING: ("the part still waits for its verdict", "ask again later"),
    Stage.DIAGNOSING: ("the report is still being written", "ask again later"),
    Stage.DECIDED: (
        "the recipe asks for no report on this verdict",
        "add the decision to `escalation` in the recipe to get reports on such parts",
    ),
    Stage.DEAD: ("the report was given up", "see GET /v1/dead-letters for the reason"),
}
"""Why a known result has no report, and the mend, by its stage."""


@router.get(
    "/{result_id}",
    summary="The written report on a part",
    response_model=DiagnosisReport,
    responses={200: {"content": {HTML: {"schema": {"type": "string"}}}}},
)
def report(result_id: ResultId, request: Request, ports: PortsOf) -> Response:
    """The report as JSON, or as a printable page when Accept prefers text/html."""
    kind = best_match(request.headers.get("accept"), [JSON, HTML])
    known = find(ports, result_id)
    if known.report is None:
        raise _no_report(known)
    vary = {"Vary": "Accept"}
    if kind == HTML:
        return HTMLResponse(render_report(ports, known), headers=page_headers() | vary)
    return JSONResponse(known.report.model_dump(mode="json"), headers=vary)


def _no_report(known: Known) -> NotFound:
    why, mend = WHY_NONE.get(known.stage, ("it is not stored", "ask again later"))
    return NotFound(f"there is no report on {known.result_id!r}: {why}", mend=mend)
