"""The REST API as the commands use it; every failure is a typed error."""

import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import httpx
from pydantic import ValidationError

from schemas.problem import Problem
from schemas.report import DiagnosisReport
from services.api.representations import AcceptedInspection, InspectionState, ResultPage
from services.cli.errors import ApiRefused, ApiUnreachable, Incomplete

if TYPE_CHECKING:
    from services.api.routers.status import StatusAnswer

TIMEOUT_SECONDS = 30.0
PAGE = 200
POLL_SECONDS = 0.2
LONGEST_BODY = 200
"""Characters that are shown of an answer that is not ours."""


class ApiClient:
    """Calls the API at a URL; a method raises ApiUnreachable, or ApiRefused with the API's own problem."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def not_ready(self) -> Problem | None:
        """Why parts would not get their verdicts now; None when they would."""
        try:
            self._call("GET", "/readyz")
        except ApiRefused as error:
            return error.record
        return None

    def submit(
        self, image: bytes, filename: str, fields: dict[str, str], key: str | None = None
    ) -> AcceptedInspection:
        """Hands in one image; `key` makes the request repeatable, and is a fresh one when left out."""
        answered = self._call(
            "POST",
            "/v1/inspections",
            headers={"Idempotency-Key": key or str(uuid4())},
            data=fields,
            files={"image": (filename, image)},
        )
        return AcceptedInspection.model_validate_json(answered.content)

    def inspection(self, result_id: str) -> InspectionState:
        """How far one inspection has come."""
        return InspectionState.model_validate_json(self._call("GET", f"/v1/inspections/{result_id}").content)

    def wait_for_end(self, result_id: str, limit_seconds: float) -> InspectionState:
        """The inspection when nothing more will happen to it. Raises Incomplete at the limit."""
        give_up = time.monotonic() + limit_seconds
        while True:
            inspection = self.inspection(result_id)
            if inspection.stage.is_final:
                return inspection
            if time.monotonic() > give_up:
                raise Incomplete(
                    f"{result_id} is still {inspection.stage.value} after {limit_seconds:g} s",
                    hint="see `lynceus status`, or wait longer with --limit",
                )
            time.sleep(POLL_SECONDS)

    def results(self) -> ResultPage:
        """The newest stored results."""
        return ResultPage.model_validate_json(
            self._call("GET", "/v1/results", params={"limit": PAGE}).content
        )

    def report(self, result_id: str) -> DiagnosisReport:
        """One written report."""
        answered = self._call("GET", f"/v1/reports/{result_id}", headers={"Accept": "application/json"})
        return DiagnosisReport.model_validate_json(answered.content)

    def report_page(self, result_id: str) -> str:
        """One report as the HTML page that a person signs."""
        return self._call("GET", f"/v1/reports/{result_id}", headers={"Accept": "text/html"}).text

    def sign(self, result_id: str, name: str, remark: str | None) -> DiagnosisReport:
        """Signs one report in a person's name; the same again changes nothing."""
        answered = self._call(
            "POST",
            f"/v1/reports/{result_id}/signature",
            headers={"Content-Type": "application/json"},
            # In ASCII, so that a name the terminal sent in another encoding is refused in words by the API.
            content=json.dumps({"signed_by": name, "remark": remark}),
        )
        return DiagnosisReport.model_validate_json(answered.content)

    def status(self) -> "StatusAnswer":
        """Queues, processes, latencies and cameras, in numbers and in words."""
        # FastAPI comes with it, and takes a second that no other command should pay.
        from services.api.routers.status import StatusAnswer

        return StatusAnswer.model_validate_json(self._call("GET", "/v1/status").content)

    def _call(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, int] | None = None,
        content: str | None = None,
        data: dict[str, str] | None = None,
        files: dict[str, tuple[str, bytes]] | None = None,
    ) -> httpx.Response:
        try:
            answered = self._http.request(
                method, path, headers=headers, params=params, content=content, data=data, files=files
            )
        except httpx.TransportError as error:
            raise ApiUnreachable(
                f"{self.url} does not answer: {error}",
                hint="start it with `lynceus up` or `docker compose up`, or name another address with --api",
            ) from error
        if answered.status_code >= HTTPStatus.BAD_REQUEST:
            raise ApiRefused(_problem(answered))
        return answered


def _problem(answered: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(answered.content)
    except ValidationError:
        return Problem(
            type="about:blank",
            title=answered.reason_phrase or "Error",
            status=answered.status_code,
            detail=answered.text[:LONGEST_BODY] or "the answer has no body",
            code="not-lynceus",
            hint="check that --api is the address of a Lynceus API",
        )
