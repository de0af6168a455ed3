"""Which part this is about: the fields that every job, verdict and report carries."""

from schemas.base import Identifier, Message


class PartIdentity(Message):
    """Names one part at one station, seen by one camera under one version of a recipe."""

    part_id: Identifier
    lot_id: Identifier | None = None
    station_id: Identifier
    camera_id: Identifier
    recipe_id: Identifier
    recipe_version: int
