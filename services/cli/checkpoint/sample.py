"""What the model would be given for a sample inspection, in words and ids."""

from dataclasses import dataclass

import numpy as np

from engine import Image, Prompt
from engine.checkpoint.tokenizer import Tokenizer
from engine.serving.prompts import PromptEncoder
from schemas.recipe import PromptTexts

PART = "machined surface"
CLASSES = ("good", "scratch", "dent")
ANSWER_TOKENS = 8
GREY = 128


@dataclass(frozen=True)
class Sample:
    """The prompt of a verdict, or with `thinking` of a report; placeholders of the picture stand once."""

    thinking: bool
    text: str
    ids: tuple[int, ...]
    tokens: int


def sample(encoder: PromptEncoder, thinking: bool, side: int) -> Sample:
    """The prompt for a grey square picture of `side` pixels."""
    texts = PromptTexts()
    words = (texts.diagnose if thinking else texts.inspect).format(part=PART, classes=", ".join(CLASSES))
    prompt = Prompt((words, Image(np.full((side, side, 3), GREY, np.uint8))))
    encoded = encoder.encode(prompt, thinking, ANSWER_TOKENS)
    return Sample(
        thinking, encoder.render(prompt, thinking), tuple(encoded.token_ids.tolist()), encoded.length
    )


def choice_ids(tokenizer: Tokenizer) -> dict[str, list[int]]:
    """The ids of each answer that is scored, its end included."""
    return {name: [*tokenizer.encode(name), tokenizer.eos_id] for name in CLASSES}
