"""What a command may fail with, beside the errors of the services themselves; shown without a stack trace."""

from schemas.problem import Problem
from services.infra.process.errors import LynceusError


class InputInvalid(LynceusError):
    """A path or value given on the command line cannot be used."""

    code = "input-invalid"
    title = "Input cannot be used"
    status = 400


class ApiUnreachable(LynceusError):
    """Nothing answers at the address of the API."""

    code = "api-unreachable"
    title = "The API does not answer"
    status = 503


class ApiRefused(LynceusError):
    """The API answered with a problem record."""

    code = "api-refused"
    title = "The API refused the request"

    def __init__(self, record: Problem) -> None:
        super().__init__(record.detail, hint=record.hint, errors=record.errors)
        self.record = record

    def problem(self, instance: str | None = None) -> Problem:
        """The record as the API sent it; it names its own instance."""
        return self.record if instance is None else self.record.model_copy(update={"instance": instance})


class EngineRefused(LynceusError):
    """The engine cannot do what was asked with these files."""

    code = "engine-refused"
    title = "The engine cannot do this"


class ProcessEnded(LynceusError):
    """A process that should stay has ended."""

    code = "process-ended"
    title = "A process has ended"


class NotReady(LynceusError):
    """The processes started, and did not become ready in time."""

    code = "not-ready"
    title = "The processes did not become ready"
    status = 503


class Incomplete(LynceusError):
    """Some parts did not reach their verdict or their report in time."""

    code = "incomplete"
    title = "Some parts were not finished"


class ChecksFailed(LynceusError):
    """The doctor found something that must be fixed first."""

    code = "checks-failed"
    title = "Some checks failed"


class NoHeartbeat(LynceusError):
    """A process has given no heartbeat lately."""

    code = "no-heartbeat"
    title = "No heartbeat"
