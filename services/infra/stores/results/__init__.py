"""The results database: verdicts, reports, signatures and reviews, found again by id and by filters."""

from services.infra.stores.results.records import (
    MAX_PAGE,
    Page,
    ResultFilters,
    Signature,
    Signing,
    StoredResult,
    Tally,
)
from services.infra.stores.results.reviews import (
    ReasonCode,
    Review,
    ReviewDraft,
    VerificationState,
)
from services.infra.stores.results.store import ResultStore

__all__ = [
    "MAX_PAGE",
    "Page",
    "ReasonCode",
    "ResultFilters",
    "ResultStore",
    "Review",
    "ReviewDraft",
    "Signature",
    "Signing",
    "StoredResult",
    "Tally",
    "VerificationState",
]
