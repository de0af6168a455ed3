"""What a worker's engine does, as its heartbeat tells it: the engine's own statistics as a message."""

from pydantic import Field

from schemas.base import Message


class PriorityStatus(Message):
    """The requests of one priority: those in the engine now, and counts since its start."""

    waiting: int = Field(ge=0)
    running: int = Field(ge=0)
    finished: int = Field(ge=0)
    failed: int = Field(ge=0)
    cancelled: int = Field(ge=0)
    prompt_tokens: int = Field(ge=0)
    reused_tokens: int = Field(ge=0)
    """Those of the prompt tokens that were computed for an earlier prompt."""
    completion_tokens: int = Field(ge=0)
    preemptions: int = Field(ge=0)
    """How often a request gave up its memory for another one, to be computed again."""
    wait_p50: float = Field(ge=0.0)
    """Seconds between a request and the first work on it, of recent requests."""
    wait_p95: float = Field(ge=0.0)


class EngineStatus(Message):
    """The engine's steps and caches; step times in seconds, of recent steps."""

    verdicts: PriorityStatus
    reports: PriorityStatus
    steps: int = Field(ge=0)
    step_p50: float = Field(ge=0.0)
    step_p95: float = Field(ge=0.0)
    step_age: float = Field(ge=0.0)
    """How long the present step has lasted; 0 when the engine rests."""
    batch_mean: float = Field(ge=0.0)
    """Requests that share a step, on average."""
    tokens_per_second: float = Field(ge=0.0)
    cache_bytes: int = Field(ge=0)
    cache_blocks: int = Field(ge=0)
    cache_blocks_used: int = Field(ge=0)
    cache_blocks_kept: int = Field(ge=0)
    """Blocks that belong to no request and hold what a later prompt may begin with."""
    images_seen: int = Field(ge=0)
    images_reused: int = Field(ge=0)
    """Images whose features were there already."""
