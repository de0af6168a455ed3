"""A result id as it stands in a path."""

from typing import Annotated

from fastapi import Path

from schemas.base import Identifier

ResultId = Annotated[Identifier, Path(description="The id that POST /v1/inspections answered.")]
