"""What a caller posts to decide on a part."""

from fastapi import Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from services.api.problems import invalid_fields
from services.infra.stores.results import ReviewDraft

JSON = "application/json"

_SCHEMA = ReviewDraft.model_json_schema(ref_template="#/components/schemas/{model}")
# What it refers to is in the description already, from the answer.
_SCHEMA.pop("$defs")

REQUEST_BODY = {"required": True, "content": {JSON: {"schema": _SCHEMA}}}


async def read_review(request: Request) -> ReviewDraft:
    """Parse the body as JSON.

    Raises RequestValidationError naming each wrong field, HTTPException 415 for another type, and
    FrameTooLarge from the body limit.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A page of another site can make a browser post plain text, and JSON only where the API allowed it.
    if kind != JSON:
        raise HTTPException(415, f"Content-Type {kind or '(none)'} is not taken; send {JSON}")
    try:
        return ReviewDraft.model_validate_json(await request.body())
    except ValidationError as error:
        raise invalid_fields(error, "body") from error
