"""Turns a SentencePiece model into a `tokenizers` tokenizer that cuts texts the same way."""

from collections.abc import Collection, Iterator, Mapping

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

from engine.checkpoint.sentencepiece_model import PieceKind, SentencePieceModel, VocabularyPiece

SPACE = "▁"
"""Stands for a space inside pieces."""

JOINED = (PieceKind.NORMAL, PieceKind.UNUSED)
"""Pieces that are put together from smaller ones; those that users defined stand as they are, digits too."""


def converted(model: SentencePieceModel, added: Mapping[str, int], special: Collection[str]) -> Tokenizer:
    """A tokenizer with the model's ids, and `added` tokens at theirs; those in `special` are no text.

    The model's own control pieces are special too. A piece that users defined is never joined with others; of
    several characters it is found wherever it stands, as SentencePiece does. Digits are plain pieces.
    """
    vocabulary = {piece.text: number for number, piece in enumerate(model.pieces)} | dict(added)
    unknown = next((piece.text for piece in model.pieces if piece.kind is PieceKind.UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary,
            list(_merges(model.pieces)),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=model.byte_fallback,
        )
    )
    tokenizer.normalizer = _normalizer(model)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if model.add_dummy_prefix else []),
        ]
    )
    control = [piece.text for piece in model.pieces if piece.kind in (PieceKind.CONTROL, PieceKind.UNKNOWN)]
    tokenizer.add_special_tokens([*control, *(token for token in vocabulary if token in special)])
    defined = [
        piece.text
        for piece in model.pieces
        if piece.kind is PieceKind.USER_DEFINED and len(piece.text) > 1 and piece.text not in special
    ]
    plain = [token for token in added if token not in special and len(token) > 1]
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in (*defined, *plain)])
    return tokenizer


def _merges(pieces: Collection[VocabularyPiece]) -> Iterator[tuple[str, str]]:
    """All pairs of pieces that make a third, the pair of the highest score first.

    Of pairs that make the same piece, the one with the longer left part goes first: in a run of one character
    SentencePiece joins from the left.
    """
    parts = {piece.text for piece in pieces if piece.kind in JOINED}
    made = [piece for piece in pieces if piece.kind is PieceKind.NORMAL]
    for piece in sorted(made, key=lambda piece: -piece.score):
        for cut in range(len(piece.text) - 1, 0, -1):
            left, right = piece.text[:cut], piece.text[cut:]
            if left in parts and right in parts:
                yield left, right


def _normalizer(model: SentencePieceModel) -> normalizers.Normalizer:
    """What SentencePiece does to a text first; exact but for a character map on combined characters.

    There `tokenizers` looks a whole combined character up, and SentencePiece the longest beginning it knows.
    """
    steps: list[normalizers.Normalizer] = []
    if model.character_map:
        steps.append(normalizers.Precompiled(model.character_map))
    if model.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(r"\A +| (?= )| +\z"), ""))
    if model.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    steps.append(normalizers.Replace(" ", SPACE))
    if model.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(rf"{SPACE}+\z"), ""))
    return normalizers.Sequence(steps)
