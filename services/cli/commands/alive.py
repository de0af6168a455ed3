"""`lynceus alive KIND`: the health check of a container whose process listens on no port."""

from typing import Annotated

import typer

from services.cli.errors import NoHeartbeat


def alive(
    kind: Annotated[str, typer.Argument(help="worker, result-writer or gateway.")],
    within: Annotated[float, typer.Option(min=1.0, help="Seconds its last heartbeat may be old.")] = 30.0,
) -> None:
    """Ends with exit code 0 when such a process of this machine gave a heartbeat lately."""
    import socket
    from datetime import UTC, datetime

    from services.infra.process.settings import CommonSettings, load_settings
    from services.infra.stores.ledger import Ledger

    machine = socket.gethostname()
    heartbeats = Ledger(load_settings(CommonSettings).ledger_url).telemetry.heartbeats()
    now = datetime.now(UTC)
    ages = [
        (now - heartbeat.moment).total_seconds()
        for heartbeat in heartbeats
        if heartbeat.kind == kind and machine in heartbeat.name
    ]
    if not ages or min(ages) > within:
        seen = f"the last one is {min(ages):.0f} s old" if ages else "there is none"
        raise NoHeartbeat(f"no {kind} on {machine} gave a heartbeat: {seen}", hint=f"see the {kind}'s log")
