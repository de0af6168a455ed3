"""Every key, stream, group, queue and task name in Redis and Celery, once."""

from enum import StrEnum


class Queue(StrEnum):
    """The two streams of work and the Celery queues of the same name; verdicts outrank reports."""

    INSPECT = "inspect"
    DIAGNOSE = "diagnose"


RESULTS_QUEUE = "results"

WORK_TASK = "lynceus.work"
RESULTS_TASK = "lynceus.results"
SUBMIT_TASK = "lynceus.submit"

GPU_GROUP = "gpu"
RESULTS_GROUP = "result-writers"

RESULTS_STREAM = "lynceus:results"
EVENTS_STREAM = "lynceus:events"
DEAD_STREAM = "lynceus:dead"

HEARTBEATS_HASH = "lynceus:heartbeats"
CAMERAS_HASH = "lynceus:cameras"
COUNTERS_HASH = "lynceus:counters"
SERVER_HASH = "lynceus:server"


def queue_stream(queue: Queue) -> str:
    """The stream that holds what waits in a queue."""
    return f"lynceus:{queue.value}"


def job_key(result_id: str) -> str:
    """The hash that holds one accepted job, its verdict, its report and its stage."""
    return f"lynceus:job:{result_id}"


def frame_key(result_id: str) -> str:
    """The encoded image of one job, in the frames Redis."""
    return f"lynceus:frame:{result_id}"


def last_frames_key(station_id: str) -> str:
    """The list of a station's last frames that no archive keeps, newest first, in the frames Redis."""
    return f"lynceus:last-frames:{station_id}"


def presence_key(consumer: str) -> str:
    """The moment at which a consumer's process last showed that it lives, and the channel it listens to."""
    return f"lynceus:present:{consumer}"


def wake_up_key(queue: Queue) -> str:
    """The token that says a work loop is already waiting in the queue's Celery queue."""
    return f"lynceus:wake-up:{queue.value}"
