"""Keeps a whole Lynceus alive on one machine, and tells in one line how it is."""

import time
from contextlib import nullcontext

from rich.console import Console
from rich.status import Status

from services.cli.client import ApiClient
from services.cli.console import say
from services.cli.errors import ApiRefused, ApiUnreachable, InputInvalid
from services.cli.local.checks import CheckLevel, check_port
from services.cli.local.folder_lock import claimed
from services.cli.local.processes import Service, Supervisor, interruptible, log_tail
from services.cli.local.readiness import wait_until_ready
from services.cli.local.stack import LocalStack, StackOptions

LOOK_SECONDS = 1.0


def run_plant(options: StackOptions, console: Console) -> None:
    """Starts everything and supervises it until an ending signal, which comes out as KeyboardInterrupt.

    Raises InputInvalid before anything is started, NotReady or ProcessEnded when it does not come up.
    """
    _require_usable(options)
    stack = LocalStack(options)
    with (
        claimed(options.directory),
        interruptible(),
        Supervisor() as supervisor,
        ApiClient(stack.api_url) as api,
    ):
        with console.status("Starting stores, result writer, API, worker and gateway"):
            stack.start_stores(supervisor)
            stack.start_services(supervisor)
            wait_until_ready(api, supervisor)
            stack.start_gateway(supervisor)
        _announce(stack, options, console)
        _supervise(supervisor, api, console)


def _require_usable(options: StackOptions) -> None:
    port = check_port(options.port)
    if port.level is not CheckLevel.OK:
        raise InputInvalid(
            f"port {port.found}", hint="stop what listens there, or choose another with --port"
        )
    if not options.sources_file.is_file():
        raise InputInvalid(
            f"there is no sources file {options.sources_file}",
            hint="name one with --sources; the repository's sources.yaml shows the form",
        )


def _announce(stack: LocalStack, options: StackOptions, console: Console) -> None:
    say(console, f"Lynceus is up: {stack.api_url} shows the line and serves the API")
    ports = ", ".join(f"{name} {port}" for name, port in stack.ports.items())
    say(console, f"Ports: {ports}. Everything lies below {options.directory}.")
    say(console, "Ctrl-C stops it.")


def _supervise(supervisor: Supervisor, api: ApiClient, console: Console) -> None:
    line = console.status("") if console.is_terminal else None
    with line or nullcontext():
        while True:
            for service in supervisor.restart_ended():
                _report_restart(service, supervisor, console)
            if line is not None:
                _update(line, supervisor, api)
            time.sleep(LOOK_SECONDS)


def _report_restart(service: Service, supervisor: Supervisor, console: Console) -> None:
    times = supervisor.restarts(service.name)
    say(console, f"{service.name} had ended and was started again ({times}); its last lines:")
    say(console, log_tail(service.log_path))


def _update(line: Status, supervisor: Supervisor, api: ApiClient) -> None:
    """How many processes live, and what waits."""
    alive = len(supervisor.services) - len(supervisor.ended())
    words = f"{alive} of {len(supervisor.services)} processes alive"
    try:
        queues = api.status().queues
    except (ApiUnreachable, ApiRefused) as error:
        line.update(f"{words}; {error.detail}")
        return
    waiting = ", ".join(f"{queue.waiting} waiting to {queue.queue.value}" for queue in queues)
    line.update(f"{words}; {waiting}")
