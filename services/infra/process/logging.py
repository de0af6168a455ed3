"""Logging for every process: one event a line, with the ids it is about bound to it."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from services.infra.process.settings import CommonSettings


def set_up_logging(settings: CommonSettings, process: str) -> None:
    """Send our events and those of libraries to standard error, as JSON lines or as text.

    `process` (gateway, worker, result writer, api) stands on every line.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _renderer(as_json=settings.log_json),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    structlog.contextvars.bind_contextvars(process=process)


@contextmanager
def bind(**ids: str) -> Iterator[None]:
    """Put ids (result_id, camera_id, …) on every line that is logged inside the block."""
    with structlog.contextvars.bound_contextvars(**ids):
        yield


def _renderer(*, as_json: bool) -> structlog.typing.Processor:
    if as_json:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
