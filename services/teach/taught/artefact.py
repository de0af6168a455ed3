"""The folder of a taught part below the recipes: what the engine made, and from which pictures."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from engine import EngineError
from engine.tuning import TaughtPart, digest_of, load_part, save_part
from schemas.base import Digest, Message
from schemas.evidence import Taught
from schemas.recipe import Recipe
from services.teach.errors import ArtefactInvalid
from services.teach.taught.lesson import Sample

FOLDER = "taught"
PICTURES = "pictures.json"
RECIPE = "recipe.yaml"
"""The last recipe version that named this artefact, kept to go back to."""


class TaughtPicture(Message):
    """One picture that a part was taught with, in the order of its held-out scores."""

    digest: Digest
    name: str
    group: str | None
    file: str


_PICTURES = TypeAdapter(tuple[TaughtPicture, ...])


class Artefact:
    """A taught part with its pictures, read once."""

    def __init__(self, folder: Path) -> None:
        """Read the part. Raises ArtefactInvalid when files are missing or changed."""
        with _told(folder):
            self.digest = digest_of(folder)
            self.part: TaughtPart = load_part(folder)
        try:
            self.pictures = _PICTURES.validate_json((folder / PICTURES).read_bytes())
        except (OSError, ValidationError) as error:
            raise _wrong(folder, f"{PICTURES} cannot be read: {error}") from error
        self._indices = {each.digest: index for index, each in enumerate(self.pictures)}

    def held_out_of(self, digest: str) -> int | None:
        """The index of a taught picture's held-out score, None for a picture that was not taught."""
        return self._indices.get(digest)


def save_artefact(
    recipes: Path, recipe_id: str, part: TaughtPart, taught: Sequence[Sample], root: Path
) -> Taught:
    """Write a part under its digest, all of it or nothing; the block that names it in a recipe."""
    home = recipes / FOLDER / recipe_id
    home.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=home, prefix=".new-"))
    try:
        digest = save_part(_without_time(part), scratch)
        listed = [
            TaughtPicture(
                digest=each.digest, name=each.name, group=each.picture.group, file=_shown(each, root)
            )
            for each in taught
        ]
        (scratch / PICTURES).write_bytes(_PICTURES.dump_json(tuple(listed), indent=1))
        scratch.chmod(0o755)
        final = home / digest
        if not final.exists():
            scratch.replace(final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Taught(digest=digest, path=f"{FOLDER}/{recipe_id}/{digest}")


def open_artefact(recipes: Path, recipe: Recipe) -> Artefact:
    """The artefact that a recipe names. Raises ArtefactInvalid when it names none or another lies there."""
    if recipe.taught is None:
        raise ArtefactInvalid.of(
            "taught",
            recipe.recipe_id,
            "the recipe names nothing that was taught",
            f"teach it: lynceus train DIR --recipe {recipe.recipe_id}",
        )
    folder = recipes / recipe.taught.path
    found = Artefact(folder)
    if found.digest != recipe.taught.digest:
        raise _wrong(folder, f"holds {found.digest[:12]}, the recipe names {recipe.taught.digest[:12]}")
    return found


def _without_time(part: TaughtPart) -> TaughtPart:
    """The part without how long it took: the same pictures and seed have the same digest."""
    return replace(part, provenance=replace(part.provenance, seconds=0.0))


def _shown(sample: Sample, root: Path) -> str:
    path = sample.picture.path
    return (
        str(path.relative_to(root) if path.is_relative_to(root) else path).encode("utf-8", "replace").decode()
    )


def _wrong(folder: Path, detail: str) -> ArtefactInvalid:
    return ArtefactInvalid.of("taught.path", folder, detail, "teach the part again, or copy the folder whole")


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """The engine's complaint about files as ours."""
    try:
        yield
    except EngineError as error:
        raise _wrong(folder, error.detail) from error
