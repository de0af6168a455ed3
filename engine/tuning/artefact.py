"""A taught part on disk: numbers in a safetensors file, everything else in JSON, both under one digest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.errors import TaughtPartInvalid
from engine.tuning.bank import Bank
from engine.tuning.curve import Advice, CurvePoint
from engine.tuning.eye import RELEASED
from engine.tuning.fusion import Fusion
from engine.tuning.gate import Gate
from engine.tuning.pair import PairScale
from engine.tuning.part import HeldOut, Provenance, TaughtPart
from engine.tuning.pictures import Regions
from engine.tuning.probe import Probe

VERSION = 1
NUMBERS, FACTS = "part.safetensors", "part.json"
KNOWN = "known"

Arrays = dict[str, NDArray[Any]]


def save_part(part: TaughtPart, folder: Path) -> str:
    """Write a taught part into a folder and return its digest, SHA-256 in hexadecimal."""
    numbers, facts = _packed(part)
    content = save({name: np.ascontiguousarray(values) for name, values in numbers.items()})
    digest = _digest(content, facts)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NUMBERS).write_bytes(content)
    (folder / FACTS).write_text(json.dumps({"digest": digest, **facts}, indent=1) + "\n", encoding="utf-8")
    return digest


def load_part(folder: Path) -> TaughtPart:
    """Read a taught part; raises TaughtPartInvalid where files are missing, changed or of another version."""
    content, facts = _read(folder)
    digest = facts.pop("digest", None)
    if facts.get("version") != VERSION:
        raise TaughtPartInvalid(
            f"{folder / FACTS} has version {facts.get('version')!r}, not {VERSION}",
            hint="teach the part again",
        )
    if digest != _digest(content, facts):
        raise TaughtPartInvalid(
            f"{folder} was changed: its digest does not fit", hint="copy the folder again"
        )
    if RELEASED.get(facts["provenance"]["eye"]) is None:
        raise TaughtPartInvalid(f"unknown eye {facts['provenance']['eye']!r}", hint="teach the part again")
    return _unpacked(load(content), facts)


def digest_of(folder: Path) -> str:
    """The digest of the taught part in a folder, checked against its files."""
    content, facts = _read(folder)
    digest = str(facts.pop("digest", ""))
    if digest != _digest(content, facts):
        raise TaughtPartInvalid(
            f"{folder} was changed: its digest does not fit", hint="copy the folder again"
        )
    return digest


def _read(folder: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        content = (folder / NUMBERS).read_bytes()
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TaughtPartInvalid(
            f"{folder} holds no readable taught part: {error}", hint=f"it needs {NUMBERS} and {FACTS}"
        ) from error
    return content, facts


def _digest(content: bytes, facts: Mapping[str, Any]) -> str:
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(hashlib.sha256(content).digest() + canonical).hexdigest()


def _packed(part: TaughtPart) -> tuple[Arrays, dict[str, Any]]:
    numbers: Arrays = {KNOWN: part.known}
    numbers |= _named("bank", part.bank.arrays()) | _named("gate", part.gate.arrays())
    if part.tiles is not None:
        numbers |= _named("tiles", part.tiles.arrays())
    if part.pair is not None:
        numbers |= _named("pair", part.pair.arrays())
    if part.probe is not None:
        numbers |= _named("probe", part.probe.arrays())
    uses = {f"alone.{name}": fusion for name, fusion in part.alone.items()}
    if part.fusion is not None:
        uses["fusion"] = part.fusion
    if part.wordless is not None:
        uses["wordless"] = part.wordless
    for name, fusion in uses.items():
        numbers |= _named(name, fusion.arrays())
    facts = {
        "version": VERSION,
        "classes": list(part.classes),
        "good": part.good,
        "regions": asdict(part.regions),
        "limit": part.limit,
        "uses": {name: list(fusion.uses) for name, fusion in uses.items()},
        "held_out": [asdict(each) for each in part.held_out],
        "curve": [asdict(each) for each in part.curve],
        "advice": [asdict(each) for each in part.advice],
        "provenance": asdict(part.provenance),
    }
    return numbers, json.loads(json.dumps(facts))


def _unpacked(numbers: Arrays, facts: Mapping[str, Any]) -> TaughtPart:
    try:
        fusions = {
            name: Fusion.from_arrays(tuple(uses), _under(name, numbers))
            for name, uses in facts["uses"].items()
        }
        inspect, ignore = facts["regions"]["inspect"], facts["regions"]["ignore"]
        return TaughtPart(
            classes=tuple(facts["classes"]),
            good=facts["good"],
            regions=Regions(
                None if inspect is None else tuple(inspect), tuple(tuple(each) for each in ignore)
            ),
            bank=Bank.from_arrays(_under("bank", numbers)),
            tiles=Bank.from_arrays(_under("tiles", numbers)) if _under("tiles", numbers) else None,
            pair=PairScale.from_arrays(_under("pair", numbers)) if _under("pair", numbers) else None,
            probe=Probe.from_arrays(_under("probe", numbers)) if _under("probe", numbers) else None,
            fusion=fusions.get("fusion"),
            wordless=fusions.get("wordless"),
            alone={
                name.removeprefix("alone."): each
                for name, each in fusions.items()
                if name.startswith("alone.")
            },
            known=numbers[KNOWN],
            gate=Gate.from_arrays(_under("gate", numbers)),
            limit=facts["limit"],
            held_out=tuple(HeldOut(**each) for each in facts["held_out"]),
            curve=tuple(CurvePoint(**each) for each in facts["curve"]),
            advice=tuple(Advice(**each) for each in facts["advice"]),
            provenance=Provenance(**facts["provenance"]),
        )
    except (KeyError, TypeError, SafetensorError) as error:
        raise TaughtPartInvalid(f"the taught part lacks {error}", hint="teach the part again") from error


def _named(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    return {f"{prefix}/{name}": values for name, values in arrays.items()}


def _under(prefix: str, numbers: Arrays) -> Arrays:
    start = f"{prefix}/"
    return {name.removeprefix(start): values for name, values in numbers.items() if name.startswith(start)}
