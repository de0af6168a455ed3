"""/metrics: the same state in Prometheus text format, read from the stores at each scrape."""

from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.api.ports import PortsOf
from services.api.state.engine_metrics import engine_metrics
from services.api.state.plant import PlantStatus, plant_status

router = APIRouter(tags=["metrics"])


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
def metrics(ports: PortsOf) -> Response:
    """Queues, processes, latencies, cameras, counters and stores; several API processes show the same."""
    registry = CollectorRegistry()
    registry.register(_PlantCollector(plant_status(ports)))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _PlantCollector(Collector):
    """Turns one status into metric families."""

    def __init__(self, status: PlantStatus) -> None:
        self.status = status

    def collect(self) -> Iterator[Metric]:
        """The families of one scrape."""
        yield from self._queues()
        yield from self._processes()
        yield from self._latencies()
        yield from self._totals()
        yield from engine_metrics(self.status.processes)

    def _queues(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("lynceus_waiting", "Jobs without a result.", labels=["queue"])
        oldest = GaugeMetricFamily(
            "lynceus_oldest_wait_seconds", "Age of the oldest job without a result.", labels=["queue"]
        )
        for queue in self.status.queues:
            waiting.add_metric([queue.queue], queue.waiting)
            oldest.add_metric([queue.queue], queue.oldest_wait_seconds)
        yield waiting
        yield oldest

    def _processes(self) -> Iterator[Metric]:
        alive = GaugeMetricFamily(
            "lynceus_process_up", "1 while the process gives heartbeats.", labels=["kind", "name"]
        )
        able = GaugeMetricFamily(
            "lynceus_worker_judges", "1 while a worker lives and its engine can go on.", labels=["name"]
        )
        finished = CounterMetricFamily(
            "lynceus_finished_jobs", "Jobs a process brought to an end.", labels=["kind", "name"]
        )
        for process in self.status.processes:
            labels = [process.heartbeat.kind, process.heartbeat.name]
            alive.add_metric(labels, float(process.is_alive))
            finished.add_metric(labels, process.heartbeat.finished)
            if process.heartbeat.kind == "worker":
                able.add_metric([process.heartbeat.name], float(process.judges))
        silence = GaugeMetricFamily(
            "lynceus_camera_silent_seconds", "Seconds since a camera's last frame.", labels=["camera"]
        )
        for camera in self.status.cameras:
            silence.add_metric([camera.frame.camera_id], camera.silent_seconds)
        yield from (alive, able, finished, silence)

    def _latencies(self) -> Iterator[Metric]:
        latency = GaugeMetricFamily(
            "lynceus_latency_seconds", "Percentiles over the newest results.", labels=["stage", "quantile"]
        )
        for stage in self.status.latencies:
            for quantile, value in (("0.5", stage.p50_ms), ("0.95", stage.p95_ms), ("0.99", stage.p99_ms)):
                latency.add_metric([stage.stage, quantile], value / 1000.0)
        yield latency

    def _totals(self) -> Iterator[Metric]:
        counted = CounterMetricFamily("lynceus_counted", "Named counters of all processes.", labels=["name"])
        for name, value in self.status.counters.items():
            counted.add_metric([name], value)
        used = GaugeMetricFamily(
            "lynceus_store_used_ratio", "How full a store's memory is.", labels=["store"]
        )
        used.add_metric(["frames"], self.status.frames_used)
        used.add_metric(["ledger"], self.status.ledger_used)
        dead = GaugeMetricFamily("lynceus_dead_letters", "Jobs that were given up and are still listed.")
        dead.add_metric([], self.status.dead_letters)
        yield from (counted, used, dead)
