"""Which part this is about: the fields that every job, verdict and report carries."""

from pydantic import Field

from schemas.base import Identifier, Message


class PartIdentity(Message):
    """Names one part at one station, seen by one camera under one version of a recipe."""

    part_id: Identifier
    """The serial number of the part."""
    lot_id: Identifier | None = None
    """The lot or batch it was made in, where the plant tracks one."""
    station_id: Identifier
    camera_id: Identifier
    recipe_id: Identifier
    recipe_version: int = Field(ge=1)
