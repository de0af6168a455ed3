"""The Celery app: supervises workers and carries wake-ups, never work."""

from celery import Celery

from services.infra.stores.wake_up import BROKER_OPTIONS

VISIBILITY_TIMEOUT_SECONDS = 3600
"""Longer than any run of a task; only submissions are acknowledged late, and each takes milliseconds."""


def create_app(broker_url: str) -> Celery:
    """An app on the ledger's Redis.

    Remote control stays off: with it a worker may exit or go deaf when Redis restarts. Only JSON is read, so
    that a message cannot carry code. A worker waits for its broker for ever. It may hold a second message:
    one whose acknowledgement met a broken connection stays counted, and with a limit of one the worker would
    never ask for another, nor notice that the connection is gone.
    """
    app = Celery("lynceus", broker=broker_url, set_as_current=False)
    app.conf.update(
        worker_pool="solo",
        worker_concurrency=1,
        worker_prefetch_multiplier=2,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            **BROKER_OPTIONS,
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
        },
    )
    return app
