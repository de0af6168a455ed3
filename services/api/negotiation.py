"""Which representation a caller wants (RFC 9110, 12.5.1)."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException


def best_match(accept: str | None, offered: Sequence[str]) -> str:
    """The offered media type that the Accept header likes best; the first one offered breaks a tie.

    Raises HTTPException 406 when the header takes none of them.
    """
    ranges = [_parsed(item) for item in (accept or "*/*").split(",")]
    quality, chosen = max(((_quality(kind, ranges), kind) for kind in offered), key=lambda pair: pair[0])
    if quality == 0.0:
        raise HTTPException(406, f"only {' and '.join(offered)} can be given, not {accept}")
    return chosen


def _parsed(item: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in item.split(";"))
    weights = [text[2:] for text in parameters if text.startswith("q=")]
    try:
        return name.lower(), float(weights[0]) if weights else 1.0
    except ValueError:
        return name.lower(), 0.0


def _quality(kind: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The weight of the most specific range that covers the kind."""
    weights = dict(ranges)
    main = kind.partition("/")[0]
    return next((weights[name] for name in (kind, f"{main}/*", "*/*") if name in weights), 0.0)
