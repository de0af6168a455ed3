"""`lynceus alive KIND`: the health check of a container whose process listens on no port."""

from typing import Annotated

import typer

from services.cli.errors import NoSignOfLife


def alive(
    kind: Annotated[str, typer.Argument(help="worker, clerk or gateway.")],
    within: Annotated[float, typer.Option(min=1.0, help="Seconds its last sign of life may be old.")] = 30.0,
) -> None:
    """Ends with exit code 0 when such a process of this machine gave a sign of life lately."""
    import socket
    from datetime import UTC, datetime

    from services.infra.ledger_redis import RedisLedger
    from services.infra.settings import CommonSettings, load_settings

    machine = socket.gethostname()
    beats = RedisLedger(load_settings(CommonSettings).ledger_url).heartbeats()
    now = datetime.now(UTC)
    ages = [
        (now - beat.moment).total_seconds() for beat in beats if beat.kind == kind and machine in beat.name
    ]
    if not ages or min(ages) > within:
        seen = f"the last one is {min(ages):.0f} s old" if ages else "there is none"
        raise NoSignOfLife(
            f"no {kind} on {machine} gave a sign of life: {seen}", mend=f"see the {kind}'s log"
        )
