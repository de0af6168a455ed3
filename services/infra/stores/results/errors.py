"""The typed errors of the results database."""

from services.infra.process.errors import AlreadySigned, NotFound
from services.infra.stores.results.records import Signature


def no_result(result_id: str) -> NotFound:
    """The error for an id without a stored result."""
    return NotFound(
        f"no result is stored for {result_id!r}", hint="check the id; a job still at work has no result yet"
    )


def no_report(result_id: str) -> NotFound:
    """The error for a result without a report."""
    return NotFound(
        f"no report is stored for {result_id!r}", hint="only parts that the recipe escalates get a report"
    )


def already_signed(result_id: str, signature: Signature) -> AlreadySigned:
    """The error for a second signature."""
    moment = f"{signature.signed_at:%Y-%m-%d %H:%M:%S} UTC"
    return AlreadySigned(
        f"the report on {result_id!r} was signed by {signature.signed_by} on {moment}",
        hint="a signed report does not change; submit the part again for a new one",
    )
