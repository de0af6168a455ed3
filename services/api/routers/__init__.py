"""One router per noun of the API."""

from services.api.routers import events, health, inspections, metrics, reports, results, reviews, status

ROUTERS = tuple(
    noun.router for noun in (inspections, results, reviews, reports, status, events, health, metrics)
)
"""Every router, in the order docs/openapi.json lists their paths."""
