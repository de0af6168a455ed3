"""How much a request may bring: its body is bounded by what it declares and by what really comes."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.problems import problem_response
from services.infra.process.errors import FrameTooLarge


class BodyLimit:
    """ASGI middleware that answers 413 to a body over `max_bytes`, before or while reading it."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body counted, or answer 413 at once."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > self.max_bytes:
            problem = self._too_large(f"declares {declared} bytes").problem(scope["path"])
            # The body stays unread, so this connection cannot carry another request.
            await problem_response(problem, {"Connection": "close"})(scope, receive, send)
            return
        await self.app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                raise self._too_large(f"brought over {self.max_bytes} bytes")
            return message

        return counted

    def _too_large(self, what: str) -> FrameTooLarge:
        return FrameTooLarge(
            f"the request {what}; at most {self.max_bytes} are taken",
            hint="send a smaller or better compressed image, or raise LYNCEUS_MAX_UPLOAD_BYTES",
        )
