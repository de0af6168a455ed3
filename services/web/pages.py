"""What makes the REST service a site for people as well."""

from fastapi import FastAPI

from services.web import overview
from services.web.report_page import report_page


def add_pages(app: FastAPI) -> None:
    """Put the overview at `/` of the REST service, and let it answer a report as a page where Accept asks for one."""
    app.state.report_page = report_page
    app.include_router(overview.router)
