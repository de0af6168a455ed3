"""The results database: verdicts, reports, problems and signatures, found again by id and by filters."""

from services.infra.stores.results.records import (
    MAX_PAGE,
    Page,
    ResultFilters,
    Signature,
    Signing,
    StoredResult,
)
from services.infra.stores.results.store import ResultStore

__all__ = [
    "MAX_PAGE",
    "Page",
    "ResultFilters",
    "ResultStore",
    "Signature",
    "Signing",
    "StoredResult",
]
