"""One more token for each running text, on a GPU as a CUDA graph of the nearest larger shape.

n texts, B blocks of the longest, V tokens in the vocabulary
"""

from functools import partial
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import pad

from engine.kernels.cuda.graphs import Graphs
from engine.model.cache import PADDING_BLOCK, KVPool
from engine.model.network import ErnieVL
from engine.serving import forward

MOST_TEXTS = 64
"""More texts than this are computed as they come: their kernels outlast their launches."""

LEAST_BLOCKS = 16
"""The smallest width of the captured block tables; the others are twice as wide, and again."""


class DecodeBatch(NamedTuple):
    """Ids, positions and cached lengths `[n]` of the texts, and their block tables `[n, B]`."""

    token_ids: Tensor
    positions: Tensor
    tables: Tensor
    lengths: Tensor


class Decoding:
    """Logits behind one more token of each text."""

    def __init__(self, network: ErnieVL, pool: KVPool) -> None:
        self._decode = partial(forward.decode, network, pool)
        self._graphs = Graphs(self._decode) if pool.device.type == "cuda" else None

    def __call__(self, batch: DecodeBatch) -> Tensor:
        """Logits `[n, V]`."""
        texts, blocks = batch.tables.shape
        if self._graphs is None or texts > MOST_TEXTS:
            return self._decode(*batch)
        return self._graphs.run(*filled_up(batch, bucket(texts), bucket(blocks, LEAST_BLOCKS)))[:texts]


def bucket(number: int, least: int = 1) -> int:
    """The smallest power of two that is at least both."""
    return max(least, 1 << (number - 1).bit_length())


def filled_up(batch: DecodeBatch, texts: int, blocks: int) -> DecodeBatch:
    """The same with so many texts and blocks; the added ones are padding, and their logits no use."""
    rows, columns = texts - len(batch.tables), blocks - batch.tables.shape[1]
    assert rows >= 0, f"{len(batch.tables)} texts do not fit {texts}"
    assert columns >= 0, f"{batch.tables.shape[1]} blocks do not fit {blocks}"
    tables = pad(batch.tables, (0, columns, 0, rows), value=PADDING_BLOCK)
    vectors = (pad(each, (0, rows)) for each in (batch.token_ids, batch.positions, batch.lengths))
    token_ids, positions, lengths = vectors
    return DecodeBatch(token_ids, positions, tables, lengths)
