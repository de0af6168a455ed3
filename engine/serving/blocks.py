"""Who owns which block of the pool, and which blocks hold a prefix that a later prompt may share."""

from collections import OrderedDict
from collections.abc import Sequence

from engine.errors import CacheCorrupt
from engine.model.cache import PADDING_BLOCK


class Blocks:
    """Counts the owners of each block, and finds blocks by the digest of what they hold.

    A block without an owner is free; its content stays findable until the block is taken for something else,
    the longest unused first. Owned by the engine's thread.
    """

    def __init__(self, count: int, keep: bool = True) -> None:
        """`count` blocks, one of which is the padding block. With `keep` false nothing is found again."""
        self._keep = keep
        self._owners = [0] * count
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(
            b for b in range(count) if b != PADDING_BLOCK
        )
        self._digests: dict[int, bytes] = {}
        self._holders: dict[bytes, int] = {}

    @property
    def count(self) -> int:
        """Blocks that requests may have."""
        return len(self._owners) - 1

    @property
    def free(self) -> int:
        """Blocks without an owner."""
        return len(self._free)

    @property
    def kept(self) -> int:
        """Blocks, owned or free, whose content a later prompt may find."""
        return len(self._digests)

    def found(self, chain: Sequence[bytes]) -> list[int]:
        """The blocks that hold the prefix of a chain, as far as it is there."""
        blocks = []
        for digest in chain:
            if (block := self._holders.get(digest)) is None:
                break
            blocks.append(block)
        return blocks

    def cost(self, chain: Sequence[bytes], total: int) -> int:
        """How many free blocks a sequence of `total` blocks that begins with this chain would take."""
        return total - sum(self._owners[block] > 0 for block in self.found(chain))

    def share(self, chain: Sequence[bytes]) -> list[int]:
        """Own the blocks that hold the prefix of a chain."""
        blocks = self.found(chain)
        for block in blocks:
            self._owners[block] += 1
            self._free.pop(block, None)
        return blocks

    def take(self, count: int) -> list[int]:
        """Own `count` free blocks, whose content is lost; there must be as many."""
        assert count <= self.free, f"{count} blocks wanted, {self.free} free"
        taken = [self._free.popitem(last=False)[0] for _ in range(count)]
        self.forget(taken)
        for block in taken:
            self._owners[block] = 1
        return taken

    def release(self, blocks: Sequence[int]) -> list[int]:
        """Own them no more; returns those that became free.

        The end of a chain is taken for something else before its prefix, which more prompts share.
        """
        freed = []
        for block in reversed(blocks):
            self._owners[block] -= 1
            if self._owners[block] == 0:
                freed.append(block)
                self._free[block] = None
                self._free.move_to_end(block, last=block in self._digests)
        return freed

    def publish(self, block: int, digest: bytes) -> bool:
        """Let others find a block by what it holds; False where another one holds the same already."""
        if not self._keep or digest in self._holders:
            return False
        self._holders[digest] = block
        self._digests[block] = digest
        return True

    def forget(self, blocks: Sequence[int]) -> None:
        """Let nobody find these blocks any more; those who own them still do."""
        for block in blocks:
            if (digest := self._digests.pop(block, None)) is not None:
                del self._holders[digest]

    def check_integrity(self, tables: Sequence[Sequence[int]]) -> None:
        """Compare with the block tables of all sequences; raises CacheCorrupt that names what is wrong."""
        owners = [0] * len(self._owners)
        for table in tables:
            for block in table:
                owners[block] += 1
        wrong = [b for b, (kept, seen) in enumerate(zip(self._owners, owners, strict=True)) if kept != seen]
        lost = [
            b for b, owned in enumerate(owners) if b != PADDING_BLOCK and (owned == 0) != (b in self._free)
        ]
        one_way = [b for b, digest in self._digests.items() if self._holders.get(digest) != b]
        if wrong or lost or one_way or len(self._digests) != len(self._holders) or owners[PADDING_BLOCK]:
            raise CacheCorrupt(
                f"blocks with a wrong count of owners {wrong}, neither owned nor free {lost}, "
                f"misfiled {one_way}",
                "restart the process, and report it with the log",
            )
