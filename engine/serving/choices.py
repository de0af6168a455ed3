"""A trie of choices: answers that begin alike are computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.checkpoint.tokenizer import Tokenizer
from engine.errors import PromptInvalid


@dataclass(frozen=True, eq=False)
class ChoiceTrie:
    """The answers' tokens behind a prompt, each node once, parents before children.

    Nodes `[n]` are the tokens that something follows: the last token of every answer, the end token, needs no
    computing. `depths` `[n]` count from 0; `tree` `[n, n]` says which nodes each node sees: itself and its
    ancestors. `paths` holds for each answer the pairs (row, token): the token's probability stands in that
    row of the logits, where row 0 is the prompt's last token and row i + 1 is node i.
    """

    token_ids: Tensor
    depths: Tensor
    tree: Tensor
    paths: tuple[tuple[tuple[int, int], ...], ...]

    @staticmethod
    def of(answers: Sequence[Sequence[int]]) -> "ChoiceTrie":
        """Build the trie of answers, each a sequence of ids that ends in the end token."""
        rows: dict[tuple[int, ...], int] = {(): 0}
        paths = []
        for answer in answers:
            path = []
            for depth, token in enumerate(answer):
                prefix = tuple(answer[:depth])
                path.append((rows.setdefault(prefix, len(rows)), token))
            paths.append(tuple(path))
        prefixes = list(rows)[1:]
        tree = [[prefix[: len(seen)] == seen for seen in prefixes] for prefix in prefixes]
        return ChoiceTrie(
            token_ids=torch.tensor([prefix[-1] for prefix in prefixes]),
            depths=torch.tensor([len(prefix) - 1 for prefix in prefixes]),
            tree=torch.tensor(tree),
            paths=tuple(paths),
        )

    @property
    def nodes(self) -> int:
        """Tokens to compute behind the prompt."""
        return len(self.token_ids)

    def log_probabilities(self, logits: Tensor) -> tuple[float, ...]:
        """Sum each answer's log-probabilities from logits `[1 + n, V]`."""
        table = logits.float().log_softmax(-1)
        rows, tokens = torch.tensor([pair for path in self.paths for pair in path], device=table.device).T
        parts = table[rows, tokens].cpu().split([len(path) for path in self.paths])
        return tuple(float(part.sum()) for part in parts)


def choice_trie(choices: Sequence[str], tokenizer: Tokenizer) -> ChoiceTrie:
    """The trie of the choices' texts, each with the end token: a score is that of the whole answer.

    Raises PromptInvalid where there is no choice, or one is empty, a duplicate, or spells a control token.
    """
    if isinstance(choices, str) or not choices:
        raise PromptInvalid(f"choices is {choices!r}", "pass a list of at least one text")
    answers: dict[tuple[int, ...], str] = {}
    for choice in choices:
        tokenizer.refuse_reserved(choice)
        answer = (*tokenizer.encode(choice), tokenizer.eos_id)
        if not choice.strip():
            raise PromptInvalid(f"the choice {choice!r} is empty", "give every class a wording")
        if answer in answers:
            raise PromptInvalid(
                f"the choice {choice!r} is there twice", "give every class a wording of its own"
            )
        answers[answer] = choice
    return ChoiceTrie.of(list(answers))
