"""Folder cameras: a watched folder for each recipe, and pictures laid into it as a camera would."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import yaml

from services.cli.demo.samples import DemoSample

UNFINISHED_SUFFIX = ".part"
"""A name the gateway does not look at; the picture gets its own name when it is whole."""


class FolderCameras:
    """One watched folder below `directory` for each recipe named."""

    def __init__(self, directory: Path, recipe_ids: Iterable[str]) -> None:
        self._directory = directory
        self._recipe_ids = tuple(sorted(set(recipe_ids)))

    def write_sources(self, path: Path) -> None:
        """Writes the gateway's sources file and makes the folders."""
        for recipe_id in self._recipe_ids:
            self._folder(recipe_id).mkdir(parents=True, exist_ok=True)
        sources = [
            {
                "kind": "folder",
                "camera_id": f"camera-{recipe_id}",
                "recipe_id": recipe_id,
                "path": str(self._folder(recipe_id)),
                "is_simulated": True,
            }
            for recipe_id in self._recipe_ids
        ]
        path.write_text(yaml.safe_dump({"sources": sources}, sort_keys=False), encoding="utf-8")

    def show(self, samples_dir: Path, sample: DemoSample) -> None:
        """Lays a copy of one picture before its camera, whole at once."""
        picture = samples_dir / sample.file
        target = self._folder(sample.recipe_id) / picture.name
        unfinished = target.with_name(target.name + UNFINISHED_SUFFIX)
        # Not copy2: the file's time is when the camera saw the part, which is now.
        shutil.copyfile(picture, unfinished)
        unfinished.replace(target)

    def _folder(self, recipe_id: str) -> Path:
        return self._directory / recipe_id
