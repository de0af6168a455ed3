"""Which of a checkpoint's files hold its tokenizer: `tokenizer.json`, or a SentencePiece model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from engine.checkpoint.files import read_json
from engine.checkpoint.sentencepiece_model import SentencePieceModel
from engine.checkpoint.sentencepiece_tokenizer import converted
from engine.errors import CheckpointInvalid

TOKENIZER_FILE = "tokenizer.json"
SENTENCEPIECE_FILES = ("tokenizer.model", "spm.model", "ernie_token_100k.model")
SETTINGS_FILE = "tokenizer_config.json"
ADDED_FILE = "added_tokens.json"
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token")
LISTS = ("additional_special_tokens", "extra_special_tokens")
COPY_TOKENIZER = (
    "copy the tokenizer that came with the weights: tokenizer.json, or tokenizer.model with its "
    "added_tokens.json if there is one"
)


def tokenizer_file(directory: Path) -> Path:
    """The file that the tokenizer is read from; CheckpointInvalid where there is none."""
    for name in (TOKENIZER_FILE, *SENTENCEPIECE_FILES):
        if (directory / name).exists():
            return directory / name
    raise CheckpointInvalid(
        f"{directory} has neither {TOKENIZER_FILE} nor {' nor '.join(SENTENCEPIECE_FILES)}", COPY_TOKENIZER
    )


def open_tokenizer(directory: Path) -> tokenizers.Tokenizer:
    """The tokenizer of a checkpoint; CheckpointInvalid where its files are missing or damaged."""
    path = tokenizer_file(directory)
    if path.name == TOKENIZER_FILE:
        return _from_json(path)
    model = SentencePieceModel.read(path)
    added = _AddedTokens.read(directory)
    pieces = {number: piece.text for number, piece in enumerate(model.pieces)}
    for token, number in added.ids.items():
        if pieces.setdefault(number, token) != token:
            raise CheckpointInvalid(
                f"{path.name} and the added tokens name the id {number} {pieces[number]!r} and {token!r}",
                COPY_TOKENIZER,
            )
    return converted(model, added.ids, added.special)


def _from_json(path: Path) -> tokenizers.Tokenizer:
    read_json(path)
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as damage:  # tokenizers raises nothing narrower
        raise CheckpointInvalid(f"{path} is no tokenizer: {damage}", COPY_TOKENIZER) from damage


@dataclass(frozen=True)
class _AddedTokens:
    """The ids of tokens that stand beside a SentencePiece model, and which of all tokens are no text."""

    ids: Mapping[str, int]
    special: frozenset[str]

    @staticmethod
    def read(directory: Path) -> "_AddedTokens":
        """From the settings and `added_tokens.json`; single digits are text, whatever is said of them."""
        settings = read_json(directory / SETTINGS_FILE)
        path = directory / ADDED_FILE
        decoder: dict[str, Any] = settings.get("added_tokens_decoder") or {}
        ids = {str(entry["content"]): int(number) for number, entry in decoder.items()}
        listed: dict[str, int] = read_json(path) if path.exists() else {}
        special = {str(entry["content"]) for entry in decoder.values() if entry.get("special")}
        special |= listed.keys() - ids.keys()
        special |= {token_name(settings[role]) for role in ROLES if settings.get(role)}
        special |= {token_name(token) for key in LISTS for token in settings.get(key) or ()}
        everything = listed | ids
        return _AddedTokens(
            {token: everything[token] for token in sorted(everything, key=everything.__getitem__)},
            frozenset(token for token in special if not (len(token) == 1 and token.isdigit())),
        )


def token_name(token: Any) -> str:  # noqa: ANN401 - a name, or an object that holds it
    """The text of a token as the settings name it."""
    return str(token["content"] if isinstance(token, dict) else token)
