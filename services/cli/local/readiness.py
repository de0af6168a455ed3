"""Waits until what was started works, and notices when it ends instead."""

import time

from services.cli.client import ApiClient
from services.cli.errors import ApiUnreachable, NotReady, ProcessEnded
from services.cli.local.processes import Supervisor, log_tail

READY_SECONDS = 180.0
POLL_SECONDS = 0.2


def wait_until_ready(api: ApiClient, supervisor: Supervisor) -> None:
    """Returns when a part would get its verdict. Raises ProcessEnded, and NotReady after three minutes."""
    give_up = time.monotonic() + READY_SECONDS
    while True:
        require_running(supervisor)
        if (reason := _why_not(api)) is None:
            return
        if time.monotonic() > give_up:
            logs = ", ".join(str(service.log_path) for service in supervisor.services)
            raise NotReady(f"after {READY_SECONDS:.0f} s {reason}", hint=f"see {logs}")
        time.sleep(POLL_SECONDS)


def require_running(supervisor: Supervisor) -> None:
    """Raises ProcessEnded, with the end of its log, when a service has ended by itself."""
    for service in supervisor.ended():
        raise ProcessEnded(
            f"{service.name} has ended; its last lines:\n{log_tail(service.log_path)}",
            hint=f"see {service.log_path}; `lynceus doctor` checks what it needs",
        )


def _why_not(api: ApiClient) -> str | None:
    """Why a part would not get its verdict now; None when it would."""
    try:
        problem = api.not_ready()
    except ApiUnreachable as error:
        return error.detail
    return None if problem is None else problem.detail
