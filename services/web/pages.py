"""What makes the REST service a site for people as well."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from services.web import line, system
from services.web.report_page import render_report

STATIC = Path(__file__).parent / "static"


def add_pages(app: FastAPI) -> None:
    """Serve the line at `/`, the installation at `/system`, and reports as pages where asked for."""
    app.state.render_report = render_report
    app.include_router(line.router)
    app.include_router(system.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
