"""The cameras a gateway serves, as one YAML file: a closed union of source kinds."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from schemas.base import Identifier, Message
from services.infra.intake.yaml_file import read_message
from services.infra.process.errors import SourcesInvalid


class CameraConfig(Message):
    """What every source says: which camera it is, and recipe, lot and job of its frames."""

    camera_id: Identifier
    recipe_id: Identifier
    lot_id: Identifier | None = None
    """The lot of every part of this source; a sidecar file names another for its part."""
    job_id: Identifier | None = None
    """The order or run of every part of this source; a sidecar file names another for its part."""
    is_simulated: bool = False


class FolderConfig(CameraConfig):
    """A watched folder of image files, one part each, named by the part's serial."""

    kind: Literal["folder"]
    path: Path
    settle_ms: int = Field(default=200, ge=0, le=60_000)
    """How long size and time of a file must stand still before it is looked at."""
    patience_seconds: float = Field(default=10.0, ge=0.0, le=3600.0)
    """How long after its last change an unreadable file counts as still being copied."""
    keep_days: float = Field(default=7.0, gt=0.0, le=3650.0)
    """Age at which a file in `processed/` is deleted; its pixels are archived by the recipe's retention."""


class VideoFileConfig(CameraConfig):
    """A video file played at its own speed, as if a camera sent it."""

    kind: Literal["video"]
    path: Path
    interval_ms: int = Field(default=0, ge=0, le=3_600_000)
    """Least time between two inspected frames; 0 inspects every frame."""
    loop: bool = False
    """Starts again at the end; every pass then shows new parts."""


class RtspConfig(CameraConfig):
    """A network camera: RTSP, or MJPEG over HTTP."""

    kind: Literal["rtsp"]
    url: Annotated[str, StringConstraints(pattern=r"^(rtsps?|https?)://.+")] = Field(repr=False)
    """May hold a password, so it is never logged."""
    interval_ms: int = Field(default=1000, ge=0, le=3_600_000)
    """Least time between two inspected frames; 0 inspects every frame."""


class UsbConfig(CameraConfig):
    """A camera on this machine, by the number the operating system gave it."""

    kind: Literal["usb"]
    device: int = Field(ge=0, le=255)
    interval_ms: int = Field(default=1000, ge=0, le=3_600_000)
    """Least time between two inspected frames; 0 inspects every frame."""


SourceConfig = Annotated[FolderConfig | VideoFileConfig | RtspConfig | UsbConfig, Field(discriminator="kind")]


class SourcesFile(Message):
    """The whole sources file: `sources:` and a list of at least one source."""

    sources: tuple[SourceConfig, ...]

    @field_validator("sources")
    @classmethod
    def _some_and_each_once(cls, sources: tuple[CameraConfig, ...]) -> tuple[CameraConfig, ...]:
        if not sources:
            raise ValueError("list at least one source")
        names = [source.camera_id for source in sources]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"camera_id is used more than once: {', '.join(repeated)}")
        return sources


def load_sources(path: Path) -> tuple[SourceConfig, ...]:
    """Read the sources file. Raises SourcesInvalid naming file, line, field, value and hint of each fault."""
    return read_message(path, SourcesFile, SourcesInvalid).sources
