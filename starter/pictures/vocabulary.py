"""The starter's small vocabulary: byte-pair merges of all it reads and writes, ERNIE's special tokens."""

import json
import string
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from starter.pictures.chat import CHAT_TEMPLATE
from starter.pictures.facts import (
    BOARD_CLASSES,
    BOARD_PART,
    METAL_CLASSES,
    METAL_PART,
    SCREW_CLASSES,
    SCREW_PART,
    SURFACE_CLASSES,
    SURFACE_PART,
)
from starter.pictures.samples import GOOD, Box, Sample
from starter.pictures.targets import diagnose_text, inspect_text, reasoning, report_json
from starter.pictures.words import INSPECTION_WORDS

VOCABULARY_SIZE = 1536

SPECIAL_TOKENS = (
    "<unk>",
    "<s>",
    "</s>",
    "<|begin_of_sentence|>",
    "<|end_of_sentence|>",
    "<mask:1>",
    "<|IMAGE_PLACEHOLDER|>",
    "<|IMAGE_SEP|>",
    "<|IMAGE_START|>",
    "<|IMAGE_END|>",
    "<|VIDEO_START|>",
    "<|VIDEO_END|>",
    "<|VIDEO_PLACEHOLDER|>",
    "<think>",
    "</think>",
)
"""In the order of their ids, from 0."""

BYTE_TOKENS = tuple(f"<0x{value:02X}>" for value in range(256))
"""Spell every character that has no token of its own (SentencePiece byte fallback)."""

ROLES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<unk>",
    "cls_token": "<|begin_of_sentence|>",
    "sep_token": "<|end_of_sentence|>",
    "mask_token": "<mask:1>",
}

KINDS_OF_PART = (
    (SURFACE_PART, SURFACE_CLASSES),
    (METAL_PART, METAL_CLASSES),
    (BOARD_PART, BOARD_CLASSES),
    (SCREW_PART, SCREW_CLASSES),
)

CORPUS_SEED, PLACES_PER_CLASS, WORD_WEIGHT = 7, 40, 12


def _splitter() -> pre_tokenizers.PreTokenizer:
    """Words with their leading space; marks, digits and line ends never merge with letters."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(r"[^\p{L}\p{M}\p{N} \n]+"), "isolated"),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=True),
        ]
    )


def _random_boxes(kind: str, rng: np.random.Generator) -> tuple[Box, ...]:
    corners = rng.uniform(0, 0.6, (int(rng.integers(1, 4)), 2))
    sides = rng.uniform(0.03, 0.4, corners.shape)
    return tuple(Box(kind, x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sides, strict=True))


def described_samples() -> Iterator[Sample]:
    """Every class of every part, found in many places or in none, without a picture worth the name."""
    rng, blank = np.random.default_rng(CORPUS_SEED), np.zeros((1, 1, 3), np.uint8)
    for part, classes in KINDS_OF_PART:
        for label, number in product(classes, range(PLACES_PER_CLASS)):
            boxes = () if label == GOOD or number % 4 == 0 else _random_boxes(label, rng)
            yield Sample(blank, part, classes, label, boxes, None, "corpus")


def corpus() -> Iterator[str]:
    """What the model reads and writes, and the words of other plants."""
    for sample in described_samples():
        yield inspect_text(sample.part, sample.classes)
        yield diagnose_text(sample.part, sample.classes)
        yield reasoning(sample)
        yield report_json(sample)
        yield f"User: Picture 1:\nAssistant: \n{sample.label}"
    for _ in range(WORD_WEIGHT):
        yield from (" ".join(line.split()) for line in INSPECTION_WORDS.splitlines())


def train_tokenizer() -> Tokenizer:
    """Learns the merges; the same ones every time."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _splitter()
    reserved = [*SPECIAL_TOKENS, *BYTE_TOKENS]
    alphabet = [*string.ascii_letters, *string.digits, *string.punctuation, "\n", "▁"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE, special_tokens=reserved, initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator(corpus(), trainer)
    learned = json.loads(learner.to_str())["model"]
    merges = [(left, right) for left, right in learned["merges"]]
    tokenizer = Tokenizer(
        models.BPE(learned["vocab"], merges, unk_token=SPECIAL_TOKENS[0], byte_fallback=True, fuse_unk=False)
    )
    tokenizer.pre_tokenizer = _splitter()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def _settings() -> dict[str, object]:
    return {
        **ROLES,
        "additional_special_tokens": [token for token in SPECIAL_TOKENS if token not in ROLES.values()],
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
    }


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def build_tokenizer(directory: Path) -> Tokenizer:
    """Trains the vocabulary; writes tokenizer.json, tokenizer_config.json and special_tokens_map.json."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    _write(directory / "tokenizer_config.json", _settings())
    settings = _settings()
    _write(
        directory / "special_tokens_map.json",
        {key: settings[key] for key in (*ROLES, "additional_special_tokens")},
    )
    return tokenizer
