"""How the makers of a checkpoint want its tokens chosen: `generation_config.json`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint.files import read_json
from engine.errors import CheckpointInvalid

GENERATION_FILE = "generation_config.json"


@dataclass(frozen=True)
class GenerationDefaults:
    """What applies where a request does not say; without a file greedy, and neutral otherwise.

    `stops` are ids that end an answer beside the tokenizer's own end token.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stops: tuple[int, ...] = ()

    @staticmethod
    def from_checkpoint(directory: Path) -> "GenerationDefaults":
        """Read them; CheckpointInvalid names a value that no sampling could follow.

        `do_sample: false` is greedy whatever else stands there. A file that gives a temperature or a `top_p`
        and no `do_sample` samples, as servers read it.
        """
        path = directory / GENERATION_FILE
        raw = read_json(path) if path.exists() else {}
        samples = raw.get("do_sample", "temperature" in raw or "top_p" in raw)
        return GenerationDefaults(
            temperature=_number(raw, "temperature", 0.0, 1.0) if samples else 0.0,
            top_p=_number(raw, "top_p", 1e-6, 1.0, most=1.0) if samples else 1.0,
            repetition_penalty=_number(raw, "repetition_penalty", 1e-6, 1.0),
            stops=_stops(raw.get("eos_token_id")),
        )


def _number(raw: dict[str, Any], name: str, least: float, default: float, most: float = 100.0) -> float:
    value = raw.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or not least <= value <= most:
        raise CheckpointInvalid(
            f"{GENERATION_FILE}: {name} is {value!r}",
            f"write a number of at least {least:g}, at most {most:g}",
        )
    return float(value)


def _stops(stops: int | list[int] | None) -> tuple[int, ...]:
    if stops is None:
        return ()
    return tuple(stops) if isinstance(stops, list) else (stops,)
