"""A message that a caller posts as JSON: its description, and how it is read."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from schemas.base import Message
from services.api.problems import invalid_fields

JSON = "application/json"

Posted = TypeVar("Posted", bound=Message)


def body_of(model: type[Message]) -> dict[str, Any]:
    """The OpenAPI description of a body that is this message.

    What it refers to is in the description already, from an answer.
    """
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"required": True, "content": {JSON: {"schema": schema}}}


def posted(model: type[Posted]) -> Callable[[Request], Awaitable[Posted]]:
    """A dependency that reads the body as this message.

    It raises RequestValidationError naming each wrong field, HTTPException 415 for another type, and
    FrameTooLarge from the body limit.
    """

    async def read(request: Request) -> Posted:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        # A page of another site can make a browser post plain text, and JSON only where the API allowed it.
        if kind != JSON:
            raise HTTPException(415, f"Content-Type {kind or '(none)'} is not taken; send {JSON}")
        try:
            return model.model_validate_json(await request.body())
        except ValidationError as error:
            raise invalid_fields(error, "body") from error

    return read
