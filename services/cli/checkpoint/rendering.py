"""How an examination looks, to a person and as JSON."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape

from services.cli.checkpoint.examination import Examination
from services.cli.checkpoint.sample import Sample
from services.cli.console import say
from services.cli.local.checks import CheckLevel

STYLES = {CheckLevel.OK: "green", CheckLevel.WARN: "yellow", CheckLevel.FAIL: "red"}
SHOWN_IDS = 12


def print_examination(console: Console, seen: Examination) -> None:
    """Each look with its hint, the sample prompts, the answers' ids, and the memory each way needs."""
    for check in seen.checks:
        style = STYLES[check.level]
        console.print(f"[{style}]{check.level:5}[/{style}]{check.name:11}", end="")
        say(console, check.found)
        if check.hint:
            say(console, f"{'':16}hint: {check.hint}")
    for sample in seen.samples:
        _print_sample(console, sample)
    for name, ids in seen.choices.items():
        say(console, f"answer {name!r}: {ids}")
    for need in seen.needs:
        size = "cannot be quantized: " + need.refused
        if need.weight_bytes is not None:
            cache = need.token_bytes * 1000 / 1e6
            size = (
                f"{need.weight_bytes / 1e9:8.2f} GB of weights, {cache:.1f} MB for 1,000 tokens in the cache"
            )
        say(console, f"{need.how:36} {size}")
    for what, works in (("inspection", seen.inspection_works), ("report", seen.report_works)):
        console.print(f"{what}: " + ("[green]would work[/green]" if works else "[red]would not work[/red]"))


def as_json(seen: Examination) -> dict[str, Any]:
    """The same for programs; ids in full."""
    return {
        "directory": str(seen.directory),
        "inspection_works": seen.inspection_works,
        "report_works": seen.report_works,
        "checks": [asdict(check) for check in seen.checks],
        "samples": [asdict(sample) for sample in seen.samples],
        "choices": seen.choices,
        "memory": [asdict(need) for need in seen.needs],
    }


def _print_sample(console: Console, sample: Sample) -> None:
    console.print(f"[bold]{'report' if sample.thinking else 'verdict'}[/bold], {sample.tokens} tokens:")
    console.print(escape(sample.text), highlight=False, soft_wrap=True)
    first, last = (", ".join(map(str, part)) for part in (sample.ids[:SHOWN_IDS], sample.ids[-SHOWN_IDS:]))
    say(console, f"  {first} … {last}")
