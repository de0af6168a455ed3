"""/v1/events: the live feed as server-sent events, which a browser resumes by itself after a break."""

from collections.abc import AsyncIterator
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Header, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.api.ports import Ports, PortsOf
from services.infra.process.errors import StoreFull, StoreUnavailable

router = APIRouter(prefix="/v1/events", tags=["events"])

BATCH = 100
BLOCK_MS = 1000
"""How long one read waits for an event; also how soon a closed stream gives its thread back."""

RECONNECT_MS = 2000


@router.get(
    "",
    summary="What happens, as it happens",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(
    request: Request,
    ports: PortsOf,
    last_event_id: Annotated[str | None, Header(description="Where an earlier stream ended.")] = None,
) -> EventSourceResponse:
    """Accepted parts, verdicts, reports and dead letters, from now on or from Last-Event-ID on.

    The feed keeps some 10000 events; who was away longer reads GET /v1/results.
    """
    first = last_event_id
    if first is None:
        first = await to_thread.run_sync(ports.ledger.events.newest_id)
    else:
        await to_thread.run_sync(ports.ledger.events.after, first, 1, 0)
    _make_sure_of_a_seat(ports)
    return EventSourceResponse(_feed(request, ports, first))


def _make_sure_of_a_seat(ports: Ports) -> None:
    if ports.listeners.available_tokens < 1:
        raise StoreFull(
            f"{ports.listeners.total_tokens:.0f} event streams are open, and more are not served",
            hint="close a stream, or poll GET /v1/results",
        )


async def _feed(request: Request, ports: Ports, event_id: str) -> AsyncIterator[ServerSentEvent]:
    async with ports.listeners:
        while not await request.is_disconnected():
            try:
                batch = await to_thread.run_sync(ports.ledger.events.after, event_id, BATCH, BLOCK_MS)
            except StoreUnavailable:
                return
            for event in batch:
                event_id = event.event_id
                yield ServerSentEvent(
                    event.model_dump_json(exclude_none=True),
                    id=event_id,
                    event=event.kind.value,
                    retry=RECONNECT_MS,
                )
