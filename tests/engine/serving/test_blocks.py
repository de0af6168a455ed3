"""Blocks: each has the owners it should, and a prefix is found as long as nobody needed its place."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.errors import CacheCorrupt
from engine.serving.blocks import Blocks

CHAINS = tuple(tuple(f"{prompt}:{index}".encode() for index in range(4)) for prompt in "abc")


def _fill(blocks: Blocks, chain: tuple[bytes, ...]) -> list[int]:
    """Blocks that hold a chain, published."""
    table = blocks.share(chain)
    fresh = blocks.take(len(chain) - len(table))
    for block, digest in zip(fresh, chain[len(table) :], strict=True):
        blocks.publish(block, digest)
    return table + fresh


def test_a_prefix_is_shared_while_it_is_there() -> None:
    """Two sequences own the same blocks, and it costs the second one nothing."""
    blocks = Blocks(9)
    first = _fill(blocks, CHAINS[0])
    assert blocks.cost(CHAINS[0], total=5) == 1
    assert blocks.share(CHAINS[0]) == first
    assert blocks.free == 4
    blocks.check_integrity([first, first])


def test_what_was_released_is_found_until_its_place_is_needed() -> None:
    """The end of a chain goes before its prefix, and the longest unused chain before others."""
    blocks = Blocks(9)
    for chain in CHAINS[:2]:
        blocks.release(_fill(blocks, chain))
    assert [len(blocks.found(chain)) for chain in CHAINS[:2]] == [4, 4]
    blocks.release(blocks.share(CHAINS[0]))
    taken = blocks.take(2)
    assert [len(blocks.found(chain)) for chain in CHAINS[:2]] == [4, 2]
    blocks.check_integrity([taken])


def test_what_is_forgotten_is_not_found() -> None:
    """A failed request's blocks hold numbers that nobody must read."""
    blocks = Blocks(9)
    table = _fill(blocks, CHAINS[0])
    blocks.forget(table[1:])
    assert blocks.found(CHAINS[0]) == table[:1]
    assert sorted(blocks.release(table)) == sorted(table)


def test_without_reuse_nothing_is_found() -> None:
    """Each sequence by itself."""
    blocks = Blocks(9, keep=False)
    blocks.release(_fill(blocks, CHAINS[0]))
    assert blocks.found(CHAINS[0]) == []
    assert blocks.kept == 0


@pytest.mark.parametrize("tables", [[], [[1, 2, 3]], [[1, 2], [2]], [[0, 1, 2]]])
def test_a_leak_is_named(tables: list[list[int]]) -> None:
    """A block owned by nobody, by one too many, or that is the padding block."""
    blocks = Blocks(9)
    assert blocks.take(2) == [1, 2]
    with pytest.raises(CacheCorrupt, match=r"\d"):
        blocks.check_integrity(tables)
    blocks.check_integrity([[1, 2]])


class Sharing(RuleBasedStateMachine):
    """Sequences come, grow, go and fail in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = Blocks(12)
        self.tables: list[list[int]] = []

    @rule(chain=st.sampled_from(CHAINS), more=st.integers(0, 2))
    def begin(self, chain: tuple[bytes, ...], more: int) -> None:
        """A sequence takes what is there and the rest anew, if enough are free."""
        if self.blocks.cost(chain, len(chain) + more) <= self.blocks.free:
            self.tables.append(_fill(self.blocks, chain) + self.blocks.take(more))

    @precondition(lambda self: self.tables)
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: st.DataObject, *, fails: bool) -> None:
        """One ends; what a failed one computed is forgotten."""
        table = self.tables.pop(data.draw(st.integers(0, len(self.tables) - 1)))
        if fails:
            self.blocks.forget(table)
        self.blocks.release(table)

    @invariant()
    def accounts_agree(self) -> None:
        """Always."""
        self.blocks.check_integrity(self.tables)
        owned = {block for table in self.tables for block in table}
        assert self.blocks.free == self.blocks.count - len(owned)


TestSharing = Sharing.TestCase
