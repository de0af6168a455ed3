"""/v1/reports: the written diagnosis, as data or as the page that is signed, and its signature."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from schemas.report import DiagnosisReport
from services.api.identifiers import ResultId
from services.api.json_body import body_of, posted
from services.api.negotiation import best_match
from services.api.ports import Ports, PortsOf
from services.api.state.lookup import Known, find
from services.infra.process.errors import NotFound
from services.infra.stores.ledger import Stage
from services.infra.stores.results import Signature, Signing

router = APIRouter(prefix="/v1/reports", tags=["reports"])

JSON = "application/json"
HTML = "text/html"

ReportRenderer = Callable[[Ports, Known], Response]
"""Makes the page of a known report; whoever adds pages to the application sets one."""

WHY_NONE = {
    Stage.WAITING: ("the part still waits for its verdict", "ask again later"),
    Stage.DIAGNOSING: ("the report is still being written", "ask again later"),
    Stage.DECIDED: (
        "the recipe asks for no report on this verdict",
        "add the decision to `escalation` in the recipe to get reports on such parts",
    ),
    Stage.REPORTED: ("it is written and not filed yet", "ask again later"),
    Stage.DEAD: ("the report was given up", "see GET /v1/dead-letters for the reason"),
}
"""Why a known result has no report, and the hint, by its stage."""


@router.get(
    "/{result_id}",
    summary="The written report on a part",
    response_model=DiagnosisReport,
    responses={200: {"content": {HTML: {"schema": {"type": "string"}}}}},
)
def report(result_id: ResultId, request: Request, ports: PortsOf) -> Response:
    """The report as JSON, or as a printable page when Accept prefers text/html."""
    render: ReportRenderer | None = request.app.state.render_report
    kind = best_match(request.headers.get("accept"), [JSON, HTML] if render else [JSON])
    known = find(ports, result_id)
    if known.report is None:
        raise _no_report(known)
    answer = render(ports, known) if render and kind == HTML else _data(known.report)
    answer.headers["Vary"] = "Accept"
    return answer


@router.post(
    "/{result_id}/signature",
    openapi_extra={"requestBody": body_of(Signing)},
    summary="Sign the report on a part",
)
def sign(
    result_id: ResultId, signing: Annotated[Signing, Depends(posted(Signing))], ports: PortsOf
) -> DiagnosisReport:
    """The report, now SIGNED; the same name and remark again change nothing, others are refused with 409.

    The API asks for no login: the name is what the caller says it is.
    """
    signature = Signature(**signing.model_dump(), signed_at=datetime.now(UTC))
    known = find(ports, result_id)
    if known.report is None:
        raise _no_report(known)
    try:
        return ports.results.sign(result_id, signature)
    except NotFound as error:
        # The ledger has the report already, and the result writer has still to bring it to the database.
        raise _no_report(known) from error


def _data(report: DiagnosisReport) -> Response:
    return JSONResponse(report.model_dump(mode="json"))


def _no_report(known: Known) -> NotFound:
    why, hint = WHY_NONE[known.stage]
    return NotFound(f"there is no report on {known.result_id!r}: {why}", hint=hint)
