"""The OpenAPI 3.1 description: what is served at /openapi.json and checked in as docs/openapi.json."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from schemas.problem import Problem
from services.api.problems import PROBLEM_JSON

SUMMARY = (
    "Inspects parts on a production line: hand in an image, get a verdict, and a report on what it escalates."
)

PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}

ERRORS = {
    "400": "A header is missing or wrong.",
    "404": "Nothing is known under this id.",
    "406": "No representation that Accept takes.",
    "409": "Another person has signed or decided meanwhile.",
    "413": "The body or the image is too large.",
    "415": "A content type or an image type that is not taken.",
    "422": "A value is wrong; `errors` names each with its hint.",
    "503": "A store is away or full; try again after Retry-After.",
}

BY_PATH = {
    "/v1/inspections": ("400", "404", "413", "415", "422", "503"),
    "/v1/reports/{result_id}": ("404", "406", "422", "503"),
    "/v1/reports/{result_id}/signature": ("404", "409", "413", "415", "422", "503"),
    "/v1/results/{result_id}/reviews": ("404", "409", "413", "415", "422", "503"),
    "/v1/results": ("400", "422", "503"),
    "/v1/events": ("400", "503"),
    "/v1/dead-letters": ("422", "503"),
    "/v1/status": ("503",),
    "/metrics": ("503",),
    "/readyz": ("503",),
    "/healthz": (),
}
"""The errors of each path; a path with a result id that is not listed has those of FOUND_BY_ID."""

FOUND_BY_ID = ("404", "422", "503")


def install(app: FastAPI) -> None:
    """Describe every error of the application as the problem record that it is."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _description(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign] # FastAPI's documented way to extend it


def as_text(app: FastAPI) -> str:
    """The description as the checked-in file holds it."""
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def _description(app: FastAPI) -> dict[str, Any]:
    described = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    schemas = described["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    described["components"]["schemas"] = dict(sorted(schemas.items()))
    for path, methods in described["paths"].items():
        for operation in methods.values():
            _describe_errors(operation["responses"], BY_PATH.get(path, FOUND_BY_ID))
    return described


def _describe_errors(responses: dict[str, Any], statuses: tuple[str, ...]) -> None:
    responses.pop("422", None)
    for status in statuses:
        responses[status] = {
            "description": ERRORS[status],
            "content": {PROBLEM_JSON: {"schema": PROBLEM_REF}},
        }
