"""Looks at every file of a checkpoint that inspecting and reporting will need; loads no weights."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from engine import EngineError
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.files import read_json
from engine.checkpoint.generation import GENERATION_FILE, GenerationDefaults
from engine.checkpoint.template import ChatTemplate
from engine.checkpoint.tensors import MANIFEST, StoredTensors
from engine.checkpoint.tokenizer import Tokenizer
from engine.model.images import ImageProcessor
from engine.model.loading import fitted
from engine.serving.grammar import GrammarBook, guide_of
from engine.serving.prompts import PromptEncoder
from schemas.report import Diagnosis
from services.cli.checkpoint.golden_ids import golden_fault
from services.cli.checkpoint.memory import Need, needs
from services.cli.checkpoint.sample import Sample, choice_ids, sample
from services.cli.local.checks import Check, CheckLevel

Found = TypeVar("Found")


@dataclass
class Examination:
    """What was found; a verdict or a report comes out only where its `…_works` is true."""

    directory: Path
    checks: list[Check] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    choices: dict[str, list[int]] = field(default_factory=dict)
    needs: list[Need] = field(default_factory=list)
    is_readable: bool = False
    """Whether configuration, weights, tokenizer and template fit together."""

    @property
    def inspection_works(self) -> bool:
        """Whether classes can be scored."""
        return self.is_readable and any(not each.thinking for each in self.samples)

    @property
    def report_works(self) -> bool:
        """Whether a report can be written behind its reasoning."""
        schema_holds = any(check.name == "schema" and check.level is CheckLevel.OK for check in self.checks)
        return self.is_readable and schema_holds and any(each.thinking for each in self.samples)

    def look(self, name: str, look: Callable[[], Found], say: Callable[[Found], str]) -> Found | None:
        """Note what a look finds in words, or its error and hint; None is an error's."""
        try:
            found = look()
            self.checks.append(Check(name, CheckLevel.OK, say(found)))
        except EngineError as error:
            self.checks.append(Check(name, CheckLevel.FAIL, error.detail, error.hint))
            return None
        return found


def examine(directory: Path, side: int) -> Examination:
    """Everything in its order, each look as far as those before it allow; `side` is a sample picture's."""
    seen = Examination(directory)
    config = seen.look("config", lambda: ModelConfig.from_json(read_json(directory / "config.json")), _sizes)
    stored = seen.look("weights", lambda: StoredTensors(directory), _layout)
    fits = config and stored and seen.look("tensors", lambda: _fitting(stored, config), lambda said: said)
    _look_at_words(seen, directory)
    if config is None:
        return seen
    context = config.text.max_positions
    encoder = seen.look(
        "prompts", lambda: PromptEncoder(directory, config, context), lambda _: "all fit together"
    )
    if encoder is not None:
        golden = seen.look("golden ids", lambda: golden_fault(encoder.tokenizer), lambda said: said)
        seen.is_readable = bool(fits) and golden is not None
        _show_samples(seen, encoder, side)
        _check_schema(seen, encoder, config)
    if stored is not None and fits:
        seen.needs = needs(stored, config)
    return seen


def _look_at_words(seen: Examination, directory: Path) -> None:
    """Each file that a prompt is made with by itself, so that all that is missing is told at once."""
    tokenizer = seen.look("tokenizer", lambda: Tokenizer(directory), _vocabulary)
    named, thinks = (tokenizer.named, tokenizer.thinks) if tokenizer else ({}, True)
    seen.look("template", lambda: ChatTemplate.from_checkpoint(directory, named, thinks), _template)
    seen.look("processor", lambda: ImageProcessor.from_checkpoint(directory), _areas)
    seen.look("generation", lambda: GenerationDefaults.from_checkpoint(directory), _defaults(directory))


def _show_samples(seen: Examination, encoder: PromptEncoder, side: int) -> None:
    for name, thinking in (("verdict", False), ("report", True)):
        made = partial(sample, encoder, thinking, side)
        shown = seen.look(
            name, made, lambda found: f"{found.tokens} tokens with a picture of {side} x {side}"
        )
        if shown is not None:
            seen.samples.append(shown)
    seen.choices = choice_ids(encoder.tokenizer)


def _check_schema(seen: Examination, encoder: PromptEncoder, config: ModelConfig) -> None:
    """Whether the library that holds a report to its schema can work with this vocabulary."""

    def look() -> str:
        guide = guide_of(encoder.tokenizer, config.text.vocab_size)
        GrammarBook(guide).grammar(Diagnosis.model_json_schema())
        return "a report can be held to its schema"

    seen.look("schema", look, lambda said: said)


def _fitting(stored: StoredTensors, config: ModelConfig) -> str:
    network, _ = fitted(stored, config)
    return f"{len(stored.names)} tensors with {network.weight_count:,} weights, as config.json says"


def _sizes(config: ModelConfig) -> str:
    text = config.text
    return (
        f"{text.num_layers} layers of {text.hidden_size}, {text.num_experts} text and as many vision "
        f"experts, {text.experts_per_token} a token; vision tower of {config.vision.depth} layers; "
        f"{text.vocab_size} ids, context of {text.max_positions}"
    )


def _layout(stored: StoredTensors) -> str:
    own = f"our own layout ({MANIFEST})" if stored.manifest.formats else f"layout: {stored.layout}"
    size = sum(path.stat().st_size for path in stored.files)
    return f"{own}; {len(stored.files)} files, {size / 1e9:.2f} GB"


def _defaults(directory: Path) -> Callable[[GenerationDefaults], str]:
    def say(defaults: GenerationDefaults) -> str:
        source = GENERATION_FILE if (directory / GENERATION_FILE).exists() else f"no {GENERATION_FILE}"
        how = f"temperature {defaults.temperature:g}" if defaults.temperature else "greedy"
        return f"{source}: {how}, top_p {defaults.top_p:g}, penalty {defaults.repetition_penalty:g}"

    return say


def _vocabulary(tokenizer: Tokenizer) -> str:
    thinking = "with" if tokenizer.thinks else "without"
    return f"{tokenizer.file}: {tokenizer.size} ids, {thinking} tokens for thinking"


def _template(template: ChatTemplate) -> str:
    return f"{template.file}: an image is given as {template.image_form!r}"


def _areas(processor: ImageProcessor) -> str:
    return f"a picture is shown with {processor.min_area:,} to {processor.max_area:,} pixels"
