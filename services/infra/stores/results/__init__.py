"""The results database's face: what it promises (results_port), in SQL and in memory."""

from services.infra.stores.results.memory import MemoryResults
from services.infra.stores.results.port import (
    MAX_PAGE,
    Page,
    ResultFilters,
    ResultStore,
    Signature,
    Signing,
    StoredResult,
)
from services.infra.stores.results.sql import SqlResults

__all__ = [
    "MAX_PAGE",
    "MemoryResults",
    "Page",
    "ResultFilters",
    "ResultStore",
    "Signature",
    "Signing",
    "SqlResults",
    "StoredResult",
]
