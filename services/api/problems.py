"""Every error as an RFC 9457 problem: ours, FastAPI's, and what nobody foresaw."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from schemas.problem import FieldError, Problem
from services.infra.process.errors import LynceusError, StoreError
from services.infra.process.field_errors import field_error

PROBLEM_JSON = "application/problem+json"

HINT = "send a value as the detail asks for; docs/openapi.json has the type"

HINTS = {
    "missing": "send this field",
    "extra_forbidden": "leave this field out; the API takes only what docs/openapi.json lists",
    "json_invalid": "send well-formed JSON",
}
"""What to do about a validation error, where its message alone does not say it."""

log = structlog.get_logger(__name__)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as an HTTP response with its own status."""
    return Response(
        problem.model_dump_json(exclude_none=True),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers=dict(headers or {}),
    )


def http_problem(
    status: int, detail: str, *, hint: str | None = None, instance: str | None = None
) -> Problem:
    """A problem that HTTP itself names: its title and code are those of the status."""
    title = HTTPStatus(status).phrase
    code = title.lower().replace(" ", "-")
    return Problem(
        type=f"/problems/{code}",
        title=title,
        status=status,
        detail=detail,
        code=code,
        instance=instance,
        hint=hint,
    )


def request_invalid(errors: Sequence[FieldError], status: int, instance: str | None) -> Problem:
    """A request whose values are wrong: each of them named, with its hint."""
    names = ", ".join(error.field for error in errors)
    return Problem(
        type="/problems/request-invalid",
        title="Request is invalid",
        status=status,
        detail=f"{len(errors)} value(s) cannot be taken: {names}",
        code="request-invalid",
        instance=instance,
        hint="correct what `errors` lists and send the request again",
        errors=tuple(errors),
    )


def invalid_fields(error: ValidationError, place: str) -> RequestValidationError:
    """A pydantic error of a value we parsed ourselves, as the one FastAPI raises for those it parsed."""
    details = error.errors(include_url=False, include_context=False)
    return RequestValidationError([{**item, "loc": (place, *item["loc"])} for item in details])


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem record."""
    app.add_exception_handler(LynceusError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, LynceusError)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, StoreError) else {}
    return problem_response(error.problem(request.url.path), headers)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    details = error.errors()
    # draft-ietf-httpapi-idempotency-key-header: a missing key is 400, a body that does not fit is 422.
    status = 400 if all(item["loc"][0] == "header" for item in details) else 422
    fields = [_field_error(item) for item in details]
    return problem_response(request_invalid(fields, status, request.url.path))


def _field_error(item: Mapping[str, Any]) -> FieldError:
    place, *path = item["loc"]
    wrong = field_error({**item, "loc": path}, HINT, str(place), HINTS)
    return wrong.model_copy(update={"detail": f"{wrong.detail} (in the {place})"})


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hints = {
        404: "see /openapi.json for the paths there are",
        415: "send a content type that docs/openapi.json lists, and a form in UTF-8",
        405: f"use one of: {(error.headers or {}).get('Allow', 'GET')}",
    }
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:
        detail = f"{request.method} {request.url.path}: {detail.lower()}"
    problem = http_problem(
        error.status_code, detail, hint=hints.get(error.status_code), instance=request.url.path
    )
    return problem_response(problem, error.headers)


def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("unforeseen error", path=request.url.path, error=repr(error))
    detail = "the service failed on this request; nothing was changed that it did not confirm"
    problem = http_problem(500, detail, hint="send the log line of this moment to whoever runs the service")
    return problem_response(problem)
