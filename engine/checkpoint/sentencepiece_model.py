"""Reads a SentencePiece model file, whose form is a protocol buffer (sentencepiece_model.proto).

Only what a tokenizer needs is read: the pieces, and how a text is prepared for them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from engine.errors import CheckpointInvalid

COPY_AGAIN = "copy the tokenizer that came with the weights again, whole"
BPE = 2
"""The number of byte-pair encoding among the kinds of model."""

VARINT, EIGHT_BYTES, COUNTED, FOUR_BYTES = 0, 1, 2, 5
"""How the value of a field is written."""


class PieceKind(IntEnum):
    """What a piece is for; the numbers are those of the file."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class VocabularyPiece:
    """A piece of text; of two that could be joined next, the one with the higher score is."""

    text: str
    score: float
    kind: PieceKind


@dataclass(frozen=True)
class SentencePieceModel:
    """The pieces in the order of their ids, and what is done to a text first."""

    pieces: tuple[VocabularyPiece, ...]
    is_bpe: bool
    byte_fallback: bool
    space_as_suffix: bool
    character_map: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool

    @staticmethod
    def read(path: Path) -> "SentencePieceModel":
        """Read a file; CheckpointInvalid where it is damaged or not of byte-pair encoding."""
        try:
            model = _model(path.read_bytes())
        except (IndexError, ValueError, UnicodeDecodeError, struct.error) as damage:
            raise CheckpointInvalid(f"{path} is no SentencePiece model: {damage}", COPY_AGAIN) from damage
        if not model.pieces:
            raise CheckpointInvalid(f"{path} is a SentencePiece model without pieces", COPY_AGAIN)
        if not model.is_bpe or model.space_as_suffix:
            raise CheckpointInvalid(
                f"{path} is a SentencePiece model of another kind than byte-pair encoding",
                "convert it to tokenizer.json with transformers and put that beside the weights",
            )
        return model


Value = int | bytes


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """The numbers and values of a message's fields; a fixed-width value as its bytes."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, form = tag >> 3, tag & 7
        if form == VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if form == COUNTED:
            length, place = _varint(data, place)
        elif form in (FOUR_BYTES, EIGHT_BYTES):
            length = 4 if form == FOUR_BYTES else 8
        else:
            raise ValueError(f"a field has the unknown form {form}")
        if place + length > len(data):
            raise ValueError("it ends within a field")
        yield number, data[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number written in groups of seven bits, the lowest first, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _model(data: bytes) -> SentencePieceModel:
    pieces, trainer, normalizer = [], dict[int, Value](), dict[int, Value]()
    for number, value in _fields(data):
        if number == 1:
            pieces.append(_piece(_message(value)))
        elif number == 2:
            trainer = dict(_fields(_message(value)))
        elif number == 3:
            normalizer = dict(_fields(_message(value)))
    return SentencePieceModel(
        tuple(pieces),
        is_bpe=trainer.get(3) == BPE,
        byte_fallback=bool(trainer.get(35, False)),
        space_as_suffix=bool(trainer.get(24, False)),
        character_map=_message(normalizer.get(2, b"")),
        add_dummy_prefix=bool(normalizer.get(3, True)),
        remove_extra_whitespaces=bool(normalizer.get(4, True)),
    )


def _message(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number stands where a message should")  # noqa: TRY004 - damage of the file
    return value


def _piece(message: bytes) -> VocabularyPiece:
    text, score, kind = "", 0.0, PieceKind.NORMAL
    for number, value in _fields(message):
        if number == 1:
            text = _message(value).decode()
        elif number == 2:
            (score,) = struct.unpack("<f", _message(value))
        elif number == 3 and isinstance(value, int):
            kind = PieceKind(value)
    return VocabularyPiece(text, score, kind)
