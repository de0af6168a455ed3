"""What makes the REST service a site for people as well."""

from fastapi import FastAPI

from services.web import overview
from services.web.report_page import render_report


def add_pages(app: FastAPI) -> None:
    """Serve the overview at `/`, and a report as a page where the request prefers text/html."""
    app.state.render_report = render_report
    app.include_router(overview.router)
