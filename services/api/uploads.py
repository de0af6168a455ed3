"""What a caller posts: fields with an image file as a form, or JSON with an image or a reference to one."""

import base64
import binascii
from typing import Annotated, Any, Self

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError, model_validator
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from schemas.base import Digest, Identifier, Message
from services.api.problems import invalid_fields

FORM = "multipart/form-data"
JSON = "application/json"
UTF_8 = {"utf-8", "utf8"}


class InspectionFields(Message):
    """What is asked about the image of a part."""

    recipe_id: Annotated[Identifier, Field(description="Recipe to inspect by; it names the station as well.")]
    part_id: Annotated[Identifier, Field(description="Serial number of the part.")]
    lot_id: Annotated[Identifier | None, Field(description="Lot the part belongs to.")] = None
    job_id: Annotated[
        Identifier | None, Field(description="Order or run the part belongs to; the result id when left out.")
    ] = None
    station_id: Annotated[
        Identifier | None, Field(description="When sent, it must be the station of the recipe.")
    ] = None
    camera_id: Annotated[Identifier, Field(description="Camera that saw the part.")] = "http"
    deadline_ms: Annotated[
        int | None,
        Field(ge=1, le=600_000, description="Milliseconds until the verdict is too late; else the recipe's."),
    ] = None
    is_simulated: Annotated[bool, Field(description="True for pictures that are not of the line.")] = False


class InspectionBody(InspectionFields):
    """The JSON form: the image itself, or the result whose kept image is to be inspected again."""

    image_base64: Annotated[
        str | None, Field(description="The encoded image (PNG, JPEG, BMP, TIFF, WEBP) in base64.")
    ] = None
    frame_of: Annotated[
        Identifier | None, Field(description="Result id whose stored image is inspected again.")
    ] = None
    frame_digest: Annotated[
        Digest | None, Field(description="SHA-256 of that stored image, so that no other is taken for it.")
    ] = None

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        refers = self.frame_of is not None and self.frame_digest is not None
        is_half = (self.frame_of is None) != (self.frame_digest is None)
        if is_half or refers == (self.image_base64 is not None):
            raise ValueError("send either image_base64, or frame_of together with frame_digest")
        return self


class Upload(Message):
    """A parsed request: the fields, and either the image's bytes or the reference to a stored one."""

    fields: InspectionFields
    image: bytes | None = None
    frame_of: Identifier | None = None
    frame_digest: Digest | None = None


def form_schema() -> dict[str, Any]:
    """The JSON schema of the form: a form leaves out what JSON could send as null, and has the file."""
    schema = InspectionFields.model_json_schema()
    for name, value in schema["properties"].items():
        if "anyOf" in value:
            given = next(option for option in value.pop("anyOf") if option != {"type": "null"})
            schema["properties"][name] = given | {key: value[key] for key in value if key != "default"}
    schema["properties"]["image"] = {"type": "string", "format": "binary", "description": "The image file."}
    schema["required"] = [*schema["required"], "image"]
    return schema


async def read_upload(request: Request) -> Upload:
    """Parse the body by its Content-Type.

    Raises RequestValidationError naming each wrong field, HTTPException 415 for another type, 400 for a
    form that cannot be parsed, and FrameTooLarge from the body limit.
    """
    kind, parameters = _content_type(request)
    if kind == FORM:
        _require_utf_8(parameters.get(b"charset", b"utf-8").decode("latin-1"))
        return await _from_form(request)
    if kind == JSON:
        return _from_json(await request.body())
    raise HTTPException(415, f"Content-Type {kind or '(none)'} is not taken; send {FORM} or {JSON}")


def _content_type(request: Request) -> tuple[str, dict[bytes, bytes]]:
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    return kind.decode("latin-1"), parameters


def _require_utf_8(charset: str) -> None:
    # RFC 7578 (5.1.2): forms are in UTF-8; other names would reach Python's codecs, which fail in many ways.
    if charset.lower() not in UTF_8:
        raise HTTPException(415, f"a form with charset {charset} is not taken; send it in UTF-8")


async def _from_form(request: Request) -> Upload:
    async with request.form(max_files=1, max_fields=len(InspectionFields.model_fields)) as form:
        values = {name: value for name, value in form.multi_items() if name != "image"}
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise _wrong("image", "missing" if image is None else "file", "the image is sent as a file part")
        try:
            fields = InspectionFields.model_validate(values)
        except ValidationError as error:
            raise invalid_fields(error, "body") from error
        return Upload(fields=fields, image=await image.read())


def _from_json(raw: bytes) -> Upload:
    try:
        body = InspectionBody.model_validate_json(raw)
    except ValidationError as error:
        raise invalid_fields(error, "body") from error
    fields = InspectionFields.model_validate(body.model_dump(include=set(InspectionFields.model_fields)))
    image = None if body.image_base64 is None else _decoded(body.image_base64)
    return Upload(fields=fields, image=image, frame_of=body.frame_of, frame_digest=body.frame_digest)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong("image_base64", "base64", f"not base64: {error}", text) from error


def _wrong(field: str, kind: str, message: str, value: str | None = None) -> RequestValidationError:
    location = ("body", field) if field else ("body",)
    return RequestValidationError([{"type": kind, "loc": location, "msg": message, "input": value}])
