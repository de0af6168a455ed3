"""What a caller posts to sign a report."""

from fastapi import Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from services.api.problems import invalid_fields
from services.infra.stores.results import Signing

JSON = "application/json"

REQUEST_BODY = {"required": True, "content": {JSON: {"schema": Signing.model_json_schema()}}}


async def read_signing(request: Request) -> Signing:
    """Parse the body as JSON.

    Raises RequestValidationError naming each wrong field, HTTPException 415 for another type, and
    FrameTooLarge from the body limit.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A page of another site can make a browser post plain text, and JSON only where the API allowed it.
    if kind != JSON:
        raise HTTPException(415, f"Content-Type {kind or '(none)'} is not taken; send {JSON}")
    try:
        return Signing.model_validate_json(await request.body())
    except ValidationError as error:
        raise invalid_fields(error, "body") from error
