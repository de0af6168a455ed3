"""Every key, stream, group, queue and task name in Redis and Celery, once."""

from enum import StrEnum


class Lane(StrEnum):
    """The two streams of work and the Celery queues of the same name; verdicts outrank reports."""

    INSPECT = "inspect"
    DIAGNOSE = "diagnose"


CLERK_QUEUE = "clerk"

SHIFT_TASK = "lynceus.shift"
CLERK_TASK = "lynceus.clerk"
SUBMIT_TASK = "lynceus.submit"

GPU_GROUP = "gpu"
CLERK_GROUP = "clerk"

RESULTS_STREAM = "lynceus:results"
EVENTS_STREAM = "lynceus:events"
DEAD_STREAM = "lynceus:dead"

HEARTBEATS_HASH = "lynceus:heartbeats"
CAMERAS_HASH = "lynceus:cameras"
COUNTERS_HASH = "lynceus:counters"


def lane_stream(lane: Lane) -> str:
    """The stream that holds what waits in a lane."""
    return f"lynceus:{lane.value}"


def job_key(result_id: str) -> str:
    """The hash that holds one accepted job, its verdict, its report and its stage."""
    return f"lynceus:job:{result_id}"


def frame_key(result_id: str) -> str:
    """The encoded image of one job, in the frames Redis."""
    return f"lynceus:frame:{result_id}"


def doorbell_key(lane: Lane) -> str:
    """The token that says a shift is already waiting in the lane's Celery queue."""
    return f"lynceus:doorbell:{lane.value}"
