"""What is measured: numbers that others keep, read when somebody asks, in constant time however many jobs there are.

Nothing here is on the way of a run. `docs/metrics.md` says what each is good for.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from kala.clock import Clock
from kala.counted import Counted
from kala.hub import Hub
from kala.job import REMOTE
from kala.lease import Lease
from kala.metrics import around, work
from kala.pulse import Pulse
from kala.scheduler import Scheduler
from kala.store import Store
from kala.traffic import Traffic

__all__ = ["Metrics"]


class Metrics(Collector):
    """All metrics of this daemon. `pulse.run` is to run; the web tells `traffic`, and the hub `counted`."""

    def __init__(self, store: Store, scheduler: Scheduler, lease: Lease, clock: Clock, hub: Hub) -> None:
        self._store, self._scheduler, self._lease, self._clock, self._hub = store, scheduler, lease, clock, hub
        self.counted, self.pulse, self.traffic = Counted(self._is_remote), Pulse(clock), Traffic()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def _is_remote(self, job_id: str) -> bool:
        record = self._store.roster.get(job_id)
        return record is not None and record.job.type == REMOTE

    def collect(self) -> Iterator[Metric]:
        yield from work.of_runs(self.counted)
        yield from work.of_jobs(self._store.roster, self._clock)
        yield from work.of_scheduler(self._scheduler)
        yield from work.of_pools(self._scheduler)
        yield from work.of_hub(self._hub)
        yield from around.of_store(self._store, self._clock)
        yield from around.of_lease(self._lease)
        yield from around.of_pulse(self.pulse)
        yield from around.of_traffic(self.traffic)
        yield from around.of_build(self._store.database[0])

    def text(self) -> bytes:
        """In Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)

    def openmetrics(self) -> bytes:
        """As OpenMetrics 1.0."""
        written: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
        return written
