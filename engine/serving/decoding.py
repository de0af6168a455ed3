"""One more token for each running text, on a GPU as a CUDA graph of the nearest larger shape.

n texts, B blocks of the longest, V tokens in the vocabulary
"""

from functools import partial
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import pad

from engine.kernels.cuda.graphs import Graphs
from engine.model.cache import NOBODY, KVPool
from engine.model.network import ErnieVL
from engine.serving import forward

MOST_TEXTS = 64
"""More texts than this are computed as they come: their kernels outlast their launches."""

LEAST_BLOCKS = 16
"""The smallest width of the captured block tables; the others are twice as wide, and again."""


class Step(NamedTuple):
    """Ids, positions and cached lengths `[n]` of the texts, and their block tables `[n, B]`."""

    token_ids: Tensor
    positions: Tensor
    tables: Tensor
    lengths: Tensor


class Decoding:
    """Logits behind one more token of each text."""

    def __init__(self, network: ErnieVL, pool: KVPool) -> None:
        self._write = partial(forward.write, network, pool)
        self._graphs = Graphs(self._write) if pool.device.type == "cuda" else None

    def __call__(self, step: Step) -> Tensor:
        """Logits `[n, V]`."""
        texts, blocks = step.tables.shape
        if self._graphs is None or texts > MOST_TEXTS:
            return self._write(*step)
        return self._graphs.run(*filled_up(step, bucket(texts), bucket(blocks, LEAST_BLOCKS)))[:texts]


def bucket(number: int, least: int = 1) -> int:
    """The smallest power of two that is at least both."""
    return max(least, 1 << (number - 1).bit_length())


def filled_up(step: Step, texts: int, blocks: int) -> Step:
    """The same step with so many texts and blocks; the added ones are nobody's, and their logits no use."""
    rows, columns = texts - len(step.tables), blocks - step.tables.shape[1]
    assert rows >= 0, f"{len(step.tables)} texts do not fit {texts}"
    assert columns >= 0, f"{step.tables.shape[1]} blocks do not fit {blocks}"
    tables = pad(step.tables, (0, columns, 0, rows), value=NOBODY)
    vectors = (pad(each, (0, rows)) for each in (step.token_ids, step.positions, step.lengths))
    token_ids, positions, lengths = vectors
    return Step(token_ids, positions, tables, lengths)
