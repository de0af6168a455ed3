"""How pages for people are made: one template environment, no asset from elsewhere."""

from datetime import UTC, datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.api.state.sentences import span

CONTENT_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Names on parts and words of a model end up in these pages; nothing in them may load or send anything."""


@cache
def environment() -> Environment:
    """The templates of all pages; everything put into them is escaped."""
    made = Environment(
        loader=PackageLoader("services.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "clock": clock,
        "local_clock": local_clock,
        "moment": moment,
        "percent": percent,
        "span": span,
        "short": short,
    }
    return made


def page_headers() -> dict[str, str]:
    """The headers of every page."""
    return {
        "Content-Security-Policy": CONTENT_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def strict_headers() -> dict[str, str]:
    """The headers of a page whose script and style are files of ours."""
    return page_headers() | {
        "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    }


def local_clock(value: datetime) -> str:
    """A moment in the machine's own zone: `03:16:43 CET`."""
    return value.astimezone().strftime("%H:%M:%S %Z")


def clock(value: datetime) -> str:
    """A moment in UTC to the second, where UTC stands beside it: `2026-11-24 03:16:43`."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def moment(value: datetime) -> str:
    """A moment in UTC to the second: `2026-11-24 03:16:43 UTC`."""
    return f"{clock(value)} UTC"


def percent(value: float) -> str:
    """A probability or fraction with one decimal: `93.4 %`."""
    return f"{value * 100:.1f} %"


def short(digest: str | None) -> str:
    """The first twelve characters of a digest, enough for a person to compare."""
    return digest[:12] if digest else "unknown"
