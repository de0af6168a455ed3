"""Runs a Celery worker in this process, with the flags that keep it alive when Redis restarts."""

import threading
from collections.abc import Sequence

from celery import Celery, signals

from worker.ticker import Ticker


def serve(app: Celery, queues: Sequence[str], name: str, ticker: Ticker, stop: threading.Event) -> int:
    """Serves the queues until SIGTERM or Ctrl-C, and returns the exit code.

    At the signal `stop` is set: the step in progress is finished, and what is not begun goes back.
    """

    def ask_to_stop(**_: object) -> None:
        stop.set()

    signals.worker_shutting_down.connect(ask_to_stop)
    worker = app.Worker(
        hostname=name,
        queues=list(queues),
        pool="solo",
        concurrency=1,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    ticker.start()
    try:
        worker.start()
    finally:
        stop.set()
        ticker.stop()
    return int(worker.exitcode or 0)
