"""Text to token ids and back, with the checkpoint's own tokenizer."""

from collections.abc import Sequence
from pathlib import Path

import tokenizers

from engine.checkpoint.files import read_json
from engine.checkpoint.generation import GenerationDefaults
from engine.checkpoint.template import THINK_END, THINK_START
from engine.checkpoint.tokenizer_files import ROLES, SETTINGS_FILE, open_tokenizer, token_name, tokenizer_file
from engine.errors import CheckpointInvalid, PromptInvalid


class Tokenizer:
    """The vocabulary of one checkpoint; special tokens are looked up by their names."""

    def __init__(self, directory: Path) -> None:
        """Read the tokenizer and `tokenizer_config.json`; raises CheckpointInvalid."""
        settings = read_json(directory / SETTINGS_FILE)
        self.file = tokenizer_file(directory).name
        self._tokenizer = open_tokenizer(directory)
        self.control = _control_tokens(self._tokenizer)
        self.named = {role: token_name(settings[role]) for role in ROLES if settings.get(role)}
        if "eos_token" not in self.named:
            raise CheckpointInvalid(
                "tokenizer_config.json names no eos_token", "add the checkpoint's eos_token"
            )
        self.eos_id = self.id_of(self.named["eos_token"])
        self.stop_ids = frozenset({self.eos_id, *GenerationDefaults.from_checkpoint(directory).stops})
        self.thinks = {THINK_START, THINK_END} <= set(self.control.values())

    def id_of(self, token: str) -> int:
        """The id of a token by its name; CheckpointInvalid where the vocabulary lacks it."""
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise CheckpointInvalid(
                f"{self.file} has no token {token!r}", "take the tokenizer that came with the weights"
            )
        return found

    def token_of(self, token_id: int) -> str | None:
        """The name of a token, or None where the vocabulary is shorter."""
        return self._tokenizer.id_to_token(token_id)

    @property
    def size(self) -> int:
        """Ids that have a token; the logits may be wider."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Ids of a text in which special tokens are meant as such."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def refuse_reserved(self, text: str) -> None:
        """Raise PromptInvalid where a text spells a control token, and so could forge a turn or an image."""
        if found := sorted(token for token in self.control.values() if token in text):
            raise PromptInvalid(
                f"the text contains {found[0]!r}, which the model reads as a control token",
                "remove it from the text",
            )

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of the ids, without special tokens."""
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)

    def to_json(self) -> str:
        """The whole tokenizer as JSON, for libraries that bring their own reader."""
        return self._tokenizer.to_str()


def _control_tokens(tokenizer: tokenizers.Tokenizer) -> dict[int, str]:
    """Ids and names of the tokens that are no text: the special ones, and the marks of thinking."""
    added = tokenizer.get_added_tokens_decoder().items()
    thinking = (THINK_START, THINK_END)
    return {number: token.content for number, token in added if token.special or token.content in thinking}
