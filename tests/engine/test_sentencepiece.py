"""A SentencePiece model, read without its library, cuts every text as the library does."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from engine import CheckpointInvalid
from engine.checkpoint.sentencepiece_model import PieceKind, SentencePieceModel
from engine.checkpoint.sentencepiece_tokenizer import converted
from engine.checkpoint.tokenizer import Tokenizer
from tests.engine.released import sentencepiece_model
from tests.repository import ROOT

GERMAN = "Prüfe die Schweißnaht auf Risse, Poren und Übermaß. Die größte Abweichung beträgt 0,25 mm."
CHINESE = "检查零件表面是否有划痕、凹坑或裂纹。缺陷位于左上角，严重程度：轻微。图片1：产品合格。"  # noqa: RUF001 - its own commas
ENGLISH = "Inspect the machined surface. Picture 1: a thin scratch, 12.5 mm long, upper left; severity minor."
CORPUS = (GERMAN, CHINESE, ENGLISH, "aaaa aaa abababab --------- ======= ####")


def _characters(first: int, last: int) -> Callable[[random.Random], str]:
    return lambda chance: chr(chance.randrange(first, last))


def _of(letters: str) -> Callable[[random.Random], str]:
    return lambda chance: chance.choice(letters)


ALPHABETS: tuple[Callable[[random.Random], str], ...] = (
    _of("0123456789.,- %"),
    _of("abAB -=#\n\t ▁"),
    _of(GERMAN + "äöüÄÖÜßé"),
    _of(CHINESE),
    _characters(0x4E00, 0x9FFF),
    _characters(0x20, 0x250),
    _characters(0x1F300, 0x1F6FF),
)


def random_text(chance: random.Random) -> str:
    """A few runs of characters, each of one kind, or a slice of a real sentence."""
    runs = []
    for _ in range(chance.randrange(5)):
        if chance.random() < 0.3:
            sentence = chance.choice(CORPUS)
            start = chance.randrange(len(sentence))
            runs.append(sentence[start : start + chance.randrange(30)])
        else:
            draw = chance.choice(ALPHABETS)
            runs.append("".join(draw(chance) for _ in range(chance.randrange(16))))
    return "".join(runs)


def differences(directory: Path, count: int, **options: Any) -> list[str]:  # noqa: ANN401 - the trainer's
    """The first texts that both cut otherwise."""
    prose = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    lines = iter([*CORPUS * 20, *filter(None, prose)])
    data = sentencepiece_model(sentence_iterator=lines, vocab_size=1000, hard_vocab_limit=False, **options)
    (directory / "tokenizer.model").write_bytes(data)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=data)
    ours = converted(SentencePieceModel.read(directory / "tokenizer.model"), {}, frozenset())
    chance = random.Random(5)
    texts = (random_text(chance) for _ in range(count))
    return [text for text in texts if ours.encode(text, add_special_tokens=False).ids != theirs.encode(text)]


VARIANTS: dict[str, dict[str, Any]] = {
    "as released": {},
    "with a dummy prefix": {"add_dummy_prefix": True},
    "without extra spaces": {"remove_extra_whitespaces": True, "add_dummy_prefix": True},
    "without bytes": {"byte_fallback": False},
    "with words of users": {"user_defined_symbols": [*"0123456789", "<LOC>", "##"]},
}


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_texts_are_cut_as_the_library_cuts_them(tmp_path: Path, variant: str) -> None:
    """3,000 random strings: numbers, German, Chinese, runs of one character, emoji."""
    assert differences(tmp_path, 3000, **VARIANTS[variant]) == []


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["as released", "with a dummy prefix"])
def test_a_hundred_thousand_texts_are_cut_as_the_library_cuts_them(tmp_path: Path, variant: str) -> None:
    """The same, for long."""
    assert differences(tmp_path, 100_000, **VARIANTS[variant]) == []


def test_what_is_cut_is_put_together_again(tmp_path: Path) -> None:
    """Spaces, line breaks and bytes included."""
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model())
    tokenizer = converted(SentencePieceModel.read(tmp_path / "tokenizer.model"), {}, frozenset())
    for text in (GERMAN, CHINESE, ENGLISH, "  two\n\n lines 🎶 "):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_kinds_of_pieces_are_read(tmp_path: Path) -> None:
    """Control pieces, bytes, and digits that users defined."""
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model())
    model = SentencePieceModel.read(tmp_path / "tokenizer.model")
    kinds = {piece.text: piece.kind for piece in model.pieces}
    assert [kinds[text] for text in ("<unk>", "<s>", "7", "<0x0A>")] == [
        PieceKind.UNKNOWN,
        PieceKind.CONTROL,
        PieceKind.USER_DEFINED,
        PieceKind.BYTE,
    ]
    assert (model.byte_fallback, model.add_dummy_prefix, model.remove_extra_whitespaces) == (
        True,
        False,
        False,
    )


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    """Cut off anywhere, or another file altogether."""
    whole = sentencepiece_model()
    path = tmp_path / "tokenizer.model"
    for content in (whole[:1000], b"", b"\xff" * 40, b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(content)
        with pytest.raises(CheckpointInvalid, match=r"tokenizer\.model"):
            SentencePieceModel.read(path)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    """A unigram model is cut by another rule."""
    (tmp_path / "tokenizer.model").write_bytes(_unigram())
    with pytest.raises(CheckpointInvalid, match="another kind than byte-pair encoding"):
        SentencePieceModel.read(tmp_path / "tokenizer.model")


def _unigram() -> bytes:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 20),
        model_writer=out,
        vocab_size=200,
        model_type="unigram",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return out.getvalue()


def test_an_added_token_on_a_pieces_id_is_refused(tmp_path: Path) -> None:
    """Files of two checkpoints were mixed."""
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model())
    (tmp_path / "added_tokens.json").write_text('{"<think>": 20}', encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match="name the id 20"):
        Tokenizer(tmp_path)


def test_an_added_token_may_be_plain_text(tmp_path: Path) -> None:
    """`added_tokens_decoder` says which are no text; gaps between their ids do not matter."""
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model())
    decoder = {"430": {"content": "<part>", "special": False}, "440": {"content": "<|END|>", "special": True}}
    settings = {"eos_token": "</s>", "added_tokens_decoder": decoder}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    tokenizer = Tokenizer(tmp_path)
    assert tokenizer.encode("<part><|END|>") == [430, 440]
    assert tokenizer.decode([430, 440]) == "<part>"
    tokenizer.refuse_reserved("<part>")
