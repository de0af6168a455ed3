"""The stored tensors of a checkpoint directory, whichever layout it has.

Released layout: `model.safetensors`, or shards with `model.safetensors.index.json`; `layouts` beside this
knows others that differ in names. Our own layout has the same names in the same files, except that the
experts of a layer are stacked, and a `lynceus.json` with the format of each weight that is not plain.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.checkpoint.config import ModelConfig
from engine.checkpoint.files import COPY_AGAIN, read_json
from engine.checkpoint.foreign import TAKE_PLAIN, packed_layout, refuse_quantized_tensors
from engine.checkpoint.formats import Format, Part, decoded, parts_of
from engine.checkpoint.layouts import layout_of, views
from engine.errors import CheckpointInvalid
from engine.format import layout

MANIFEST = "lynceus.json"
INDEX = "model.safetensors.index.json"
MANIFEST_VERSION = 1
QUANTIZE_AGAIN = "quantize the released checkpoint again with this version of Lynceus"

IDENTIFYING = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spm.model",
    "ernie_token_100k.model",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
"""Files beside the configuration that a checkpoint may have, and that its digest covers."""

LISTED = 20
"""How many tensors an error names."""

LONGEST_HEADER = 100_000_000
"""Bytes; safetensors reads no longer one either."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I8": torch.int8,
    "U8": torch.uint8,
}
"""The types a weight may have, by their name in a file's header."""


@dataclass(frozen=True)
class Manifest:
    """What `lynceus.json` says: formats by name of the weight; those it does not name are plain."""

    formats: Mapping[str, Format] = field(default_factory=dict)
    window_bits: int = layout.WINDOW_BITS[0]

    @staticmethod
    def read(directory: Path) -> "Manifest":
        """The manifest of a checkpoint; an empty one for the released layout.

        CheckpointInvalid names a version, a format or a code that this program does not know.
        """
        path = directory / MANIFEST
        if not path.exists():
            return Manifest()
        content = read_json(path)
        _expect(path, content, "version", (MANIFEST_VERSION,))
        formats: dict[str, str] = content.get("formats", {})
        unknown = {name: kind for name, kind in formats.items() if kind not in set(Format)}
        if unknown:
            raise CheckpointInvalid(
                f"{path}: unknown formats {unknown}", "use the Lynceus version that wrote it"
            )
        if Format.TWO_BIT in formats.values():
            _expect(path, content, "code_version", (layout.VERSION,))
            _expect(path, content, "window_bits", layout.WINDOW_BITS)
        return Manifest(
            {name: Format(kind) for name, kind in formats.items()},
            content.get("window_bits", layout.WINDOW_BITS[0]),
        )


def _expect(path: Path, content: Mapping[str, Any], name: str, known: tuple[int, ...]) -> None:
    if content.get(name) not in known:
        raise CheckpointInvalid(
            f"{path}: {name.replace('_', ' ')} {content.get(name)} is not {' or '.join(map(str, known))}",
            QUANTIZE_AGAIN,
        )


class StoredTensors:
    """Reads weights one by one by their released names, whatever the layout calls them."""

    def __init__(self, directory: Path) -> None:
        """Open the files; CheckpointInvalid for missing or damaged ones, and a layout that is not read."""
        self.files = weight_files(directory)
        self.manifest = Manifest.read(directory)
        self._handles = {path: _open(path) for path in self.files}
        self._paths = {
            key: path
            for path, handle in self._handles.items()
            for key in handle.keys()  # noqa: SIM118 - not a dict
        }
        if not self.manifest.formats:
            refuse_quantized_tensors(self._paths)
        self._shapes = {key: tuple(self._header(key).get_shape()) for key in self._paths}
        self.layout = layout_of(self._shapes)
        self._views = views(self._shapes, lambda: ModelConfig.from_json(read_json(directory / "config.json")))

    @property
    def names(self) -> set[str]:
        """Released names of all tensors; a compressed weight has several."""
        return set(self._views)

    def format_of(self, name: str) -> Format:
        """How the weight is stored."""
        return self.manifest.formats.get(name, Format.PLAIN)

    def part(self, name: str) -> Tensor:
        """A tensor as it is, where it is stored whole in memory that the file backs."""
        return self._views[name].of(self._stored)

    def _stored(self, key: str) -> Tensor:
        path = self._paths[key]
        try:
            tensor: Tensor = self._handles[path].get_tensor(key)
        except SafetensorError as damage:
            raise CheckpointInvalid(f"{path.name}: cannot read {key}: {damage}", COPY_AGAIN) from damage
        return tensor

    def _header(self, key: str) -> Any:  # noqa: ANN401 - as _open
        return self._handles[self._paths[key]].get_slice(key)

    def parts(self, name: str, shape: tuple[int, ...]) -> dict[str, Tensor]:
        """All parts of a weight of that shape, by suffix."""
        return {suffix: self.part(name + suffix) for suffix in parts_of(self.format_of(name), shape)}

    def read(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The values of a weight of that shape, decompressed if need be."""
        return decoded(self.format_of(name), self.parts(name, shape), shape[0], self.manifest.window_bits)

    def faults(self, expected: Mapping[str, tuple[int, ...]], allowed: set[str]) -> list[str]:
        """What is missing, surplus or misshapen for weights of these shapes; `allowed` may be there."""
        parts = {
            name + suffix: part
            for name, shape in expected.items()
            for suffix, part in parts_of(self.format_of(name), shape).items()
        }
        spare = {name + suffix for name in allowed for suffix in parts_of(self.format_of(name), (1, 1))}
        missing = sorted(parts.keys() - self.names)
        surplus = sorted(self.names - parts.keys() - spare)
        return [
            *(f"missing {key} {list(parts[key].shape)}" for key in missing),
            *(f"surplus {key}" for key in surplus),
            *(fault for key in sorted(parts.keys() & self.names) if (fault := self._misfit(key, parts[key]))),
        ]

    def _misfit(self, name: str, part: Part) -> str | None:
        view = self._views[name]
        absent = [key for key in view.keys if key not in self._shapes]
        if absent:
            return f"missing {', '.join(absent)}, a half of {name}"
        shape, stored = view.shape(self._shapes), self._header(view.keys[0]).get_dtype()
        if shape != part.shape:
            return f"misshapen {name}: {list(shape)} instead of {list(part.shape)}"
        dtype = DTYPES.get(stored)
        fits = dtype == part.dtype or (part.dtype is None and dtype is not None and dtype.is_floating_point)
        return None if fits else f"mistyped {name}: {stored} instead of {part.dtype or 'a float'}"


def digest_of(directory: Path) -> str:
    """SHA-256 over the weights and all that shapes an answer: what identifies the model to an auditor."""
    total = hashlib.sha256()
    named = [directory / name for name in ("config.json", *IDENTIFYING, MANIFEST)]
    for path in [*weight_files(directory), *(path for path in named if path.exists())]:
        with path.open("rb") as file:
            total.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def weight_files(directory: Path) -> list[Path]:
    """The files that hold a checkpoint's tensors; CheckpointInvalid names one that is missing."""
    index = directory / INDEX
    if index.exists():
        names = sorted(set(read_json(index).get("weight_map", {}).values()))
        paths = [directory / name for name in names]
    else:
        paths = [directory / "model.safetensors"]
        if not paths[0].exists() and (layout := packed_layout(directory)) is not None:
            raise CheckpointInvalid(f"the weights in {directory} are in {layout}", TAKE_PLAIN)
    for path in paths:
        if not path.exists():
            raise CheckpointInvalid(f"{path} is missing", COPY_AGAIN)
    return paths


def _open(path: Path) -> Any:  # noqa: ANN401 - safetensors exports no name for what safe_open returns
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as damage:
        raise CheckpointInvalid(
            f"{path} is not a whole safetensors file: {damage}{_cut_off(path)}", COPY_AGAIN
        ) from damage


def _cut_off(path: Path) -> str:
    """Names the tensors that lie beyond the end of a file whose header is whole."""
    with path.open("rb") as file:
        length = min(int.from_bytes(file.read(8), "little"), LONGEST_HEADER)
        content = file.read(length)
    try:
        header = json.loads(content)
        held = path.stat().st_size - 8 - length
        lost = [name for name, entry in header.items() if entry.get("data_offsets", (0, 0))[1] > held]
    except (ValueError, AttributeError, TypeError, LookupError):
        return ""
    return f"; it ends before {', '.join(sorted(lost)[:LISTED])}" if lost else ""
