"""The ids of one prompt in the released vocabulary, as the tests of transformers have them."""

from engine import CheckpointInvalid
from engine.checkpoint.tokenizer import Tokenizer

BEGIN = "<|begin_of_sentence|>"
TEXT = f"{BEGIN}User: What kind of dog is this?Picture 1:<|IMAGE_START|><|IMAGE_PLACEHOLDER|>"
IDS = (
    100273,
    2969,
    93963,
    1912,
    3836,
    315,
    9159,
    357,
    501,
    94009,
    39082,
    93919,
    4,
    93963,
    101304,
    100295,
)
"""Source: the integration test of Ernie4_5_VLMoe in transformers; the digit 1 is the id 4."""


def golden_fault(tokenizer: Tokenizer) -> str:
    """What the comparison came to; CheckpointInvalid where the released vocabulary cuts it otherwise."""
    if tokenizer.token_of(IDS[0]) != BEGIN:
        return "not the released vocabulary: nothing to compare"
    found = tokenizer.encode(TEXT)
    if tuple(found) != IDS:
        raise CheckpointInvalid(
            f"{tokenizer.file} cuts a known prompt into {found} instead of {list(IDS)}",
            "it was converted wrongly, as with digits that are special: take the released tokenizer.model",
        )
    return f"{tokenizer.file} gives the known ids of a known prompt"
