"""What a command may fail with, beside the errors of the services themselves; shown without a stack trace."""

from typing import Self

from schemas.problem import Problem
from services.infra.errors import LynceusError


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

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """The error that shows this problem record in its own words."""
        error = cls(problem.detail, mend=problem.mend, errors=problem.errors)
        error.record = problem
        return error

    record: Problem | None = None
    """What the API said, as it said it."""


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
    """The doctor found something that must be mended first."""

    code = "checks-failed"
    title = "Some checks failed"
