"""The stored tensors of a checkpoint directory, whichever of the two layouts it has.

Released layout: `model.safetensors`, or shards with `model.safetensors.index.json`. Our own layout has the
same names in the same files, and a `lynceus.json` that gives the format of each tensor which is not stored
plainly.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import CheckpointInvalid
from engine.quant.rows import decode_rows

MANIFEST = "lynceus.json"
MANIFEST_VERSION = 1
SCALE_SUFFIX = ".row_scale"
VISION_PREFIXES = ("model.vision_model.", "vision_model.")
COPY_AGAIN = "copy the checkpoint again, whole"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of the checkpoint; CheckpointInvalid if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise CheckpointInvalid(f"{path} is missing", COPY_AGAIN) from missing
    except (json.JSONDecodeError, UnicodeDecodeError) as damage:
        raise CheckpointInvalid(f"{path} is not JSON: {damage}", COPY_AGAIN) from damage
    if not isinstance(content, dict):
        raise CheckpointInvalid(f"{path} does not hold a JSON object", COPY_AGAIN)
    return content


class StoredTensors:
    """Reads tensors one by one by their released name; the vision tower's two prefixes are one."""

    def __init__(self, directory: Path) -> None:
        self.files = _weight_files(directory)
        self._formats = _formats(directory / MANIFEST)
        self._handles = {path: _open(path) for path in self.files}
        self._places = {
            _canonical(key): (path, key)
            for path, handle in self._handles.items()
            for key in handle.keys()  # noqa: SIM118 - not a dict
        }

    @property
    def names(self) -> set[str]:
        """Released names of all tensors; the scales of compressed ones are part of them."""
        return {name for name in self._places if not name.endswith(SCALE_SUFFIX)}

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape, read from the header alone."""
        path, key = self._places[name]
        return tuple(self._handles[path].get_slice(key).get_shape())

    def read(self, name: str) -> Tensor:
        """The tensor's values, decompressed if need be."""
        stored = self._read_plain(name)
        if self._formats.get(name, "plain") == "plain":
            return stored
        return decode_rows(stored, self._read_plain(name + SCALE_SUFFIX))

    def _read_plain(self, name: str) -> Tensor:
        path, key = self._places[name]
        try:
            tensor: Tensor = self._handles[path].get_tensor(key)
        except SafetensorError as damage:
            raise CheckpointInvalid(f"{path.name}: cannot read {key}: {damage}", COPY_AGAIN) from damage
        return tensor


def digest_of(directory: Path) -> str:
    """SHA-256 over the weights, configuration and tokenizer: what identifies the model to an auditor."""
    total = hashlib.sha256()
    named = [
        directory / name for name in ("config.json", "tokenizer.json", "tokenizer_config.json", MANIFEST)
    ]
    for path in [*_weight_files(directory), *(path for path in named if path.exists())]:
        with path.open("rb") as file:
            total.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _canonical(key: str) -> str:
    return key.removeprefix("model.") if key.startswith(VISION_PREFIXES[0]) else key


def _weight_files(directory: Path) -> list[Path]:
    index = directory / "model.safetensors.index.json"
    if index.exists():
        names = sorted(set(read_json(index).get("weight_map", {}).values()))
        paths = [directory / name for name in names]
    else:
        paths = [directory / "model.safetensors"]
    for path in paths:
        if not path.exists():
            raise CheckpointInvalid(f"{path} is missing", COPY_AGAIN)
    return paths


def _open(path: Path) -> Any:  # noqa: ANN401 - safetensors exports no name for what safe_open returns
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as damage:
        raise CheckpointInvalid(f"{path} is not a whole safetensors file: {damage}", COPY_AGAIN) from damage


def _formats(manifest: Path) -> dict[str, str]:
    if not manifest.exists():
        return {}
    content = read_json(manifest)
    if content.get("version") != MANIFEST_VERSION:
        raise CheckpointInvalid(
            f"{manifest}: version {content.get('version')} is not {MANIFEST_VERSION}",
            "quantize the released checkpoint again with this version of Lynceus",
        )
    formats: dict[str, str] = content.get("formats", {})
    unknown = {name: kind for name, kind in formats.items() if kind not in ("plain", "rows8")}
    if unknown:
        raise CheckpointInvalid(
            f"{manifest}: unknown formats {unknown}", "use the Lynceus version that wrote it"
        )
    return formats
