"""Text as it becomes certain, from tokens that may hold parts of a character."""

import codecs
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLTokenizer


class TextDecoder:
    """Turns ids into text one by one, holding back the bytes of an unfinished character.

    Works on the tokens' bytes: a decoder of whole texts may change its mind about what it has already given
    out.
    """

    def __init__(self, guide: "LLTokenizer", control: Collection[int]) -> None:
        """`guide` knows every token's bytes; `control` are the ids that are no text."""
        self._guide = guide
        self._control = control
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The text that has become certain with this id; nothing for a control token."""
        if token_id in self._control:
            return ""
        return self._utf8.decode(self._guide.decode_bytes([token_id]))

    def finish(self) -> str:
        """A replacement character where the last one never became whole."""
        return self._utf8.decode(b"", final=True)
