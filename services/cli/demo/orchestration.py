"""A whole demo: start everything, follow every sample to its end, write a summary, stop everything."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from schemas.recipe import Recipe
from services.cli.client import ApiClient
from services.cli.console import say
from services.cli.demo.board import Board
from services.cli.demo.cameras import FolderCameras
from services.cli.demo.follower import Follower
from services.cli.demo.samples import DemoSample, load_samples
from services.cli.demo.summary import SampleOutcome, Summary, summarise
from services.cli.local.folder_lock import claimed
from services.cli.local.processes import Supervisor, interruptible
from services.cli.local.readiness import wait_until_ready
from services.cli.local.stack import LocalStack, StackOptions, free_port
from services.infra.intake import RecipeBook

WRITTEN = ("archive", "cameras", "frames", "ledger", "logs", "reports", "spool")
"""Folders of an earlier run; nothing else in the directory is touched."""
WRITTEN_FILES = ("lynceus.db*", "sources.yaml", "summary.json")


@dataclass(frozen=True)
class DemoOptions:
    """What a person may choose about a demo."""

    directory: Path
    samples_dir: Path
    recipes_dir: Path
    checkpoint: Path
    device: str
    pace_seconds: float
    limit_seconds: float


def run_demo(options: DemoOptions, console: Console) -> Summary:
    """Runs the demo and returns its summary, which lies in summary.json as well.

    Raises what keeps it from finishing: InputInvalid, RecipeInvalid, ProcessEnded, NotReady, Incomplete.
    Whatever happens, every process it started has ended when it returns.
    """
    samples = load_samples(options.samples_dir)
    book = RecipeBook(options.recipes_dir)
    recipes = {sample.recipe_id: book.get(sample.recipe_id) for sample in samples}
    with claimed(options.directory) as directory:
        _empty(directory)
        summary = summarise(_follow(options, directory, samples, recipes, console))
        (directory / "summary.json").write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return summary


def _follow(
    options: DemoOptions,
    directory: Path,
    samples: tuple[DemoSample, ...],
    recipes: Mapping[str, Recipe],
    console: Console,
) -> list[SampleOutcome]:
    cameras = FolderCameras(directory / "cameras", recipes)
    cameras.write_sources(directory / "sources.yaml")
    stack = LocalStack(_stack_options(options, directory))
    board = Board(console, samples)
    with interruptible(), Supervisor() as supervisor, ApiClient(stack.api_url) as api:
        with console.status("Starting stores, result writer, API, worker and gateway"):
            stack.start_stores(supervisor)
            stack.start_services(supervisor)
            wait_until_ready(api, supervisor)
            stack.start_gateway(supervisor)
        say(console, f"Dashboard while this runs: {stack.api_url}")
        follower = Follower(samples, recipes, board, api, directory / "reports")
        with board.shown():
            return follower.follow(
                cameras, options.samples_dir, supervisor, options.pace_seconds, options.limit_seconds
            )


def _stack_options(options: DemoOptions, directory: Path) -> StackOptions:
    return StackOptions(
        directory=directory,
        recipes_dir=options.recipes_dir.absolute(),
        checkpoint=options.checkpoint.absolute(),
        sources_file=directory / "sources.yaml",
        device=options.device,
        port=free_port(),
    )


def _empty(directory: Path) -> None:
    """Takes away what an earlier demo wrote."""
    for name in WRITTEN:
        shutil.rmtree(directory / name, ignore_errors=True)
    for pattern in WRITTEN_FILES:
        for path in directory.glob(pattern):
            path.unlink()
