"""Metrics of what the work rests on: the database, the lease, the clock, the loop, the web, the build."""

import platform
from collections.abc import Iterator

from prometheus_client.core import InfoMetricFamily
from prometheus_client.metrics_core import Metric

from kala import __version__
from kala.clock import SECOND, Clock
from kala.lease import Lease
from kala.metrics.families import by, counter, counters, gauge, histogram, histograms
from kala.pulse import Pulse
from kala.store import Store
from kala.traffic import Traffic

NOWHERE = "other", "other"
"""In place of method and route where no route was found."""


def of_store(store: Store, clock: Clock) -> Iterator[Metric]:
    commits, spooled, since = store.commits, store.spooled(), store.down_since
    yield gauge("kala_database_up", "1 while the database can be written.", store.fault is None)
    away = 0.0 if since is None else max((clock.now() - since) / SECOND, 0.0)
    yield gauge("kala_database_away_seconds", "Since when the database is away; 0 while it is not.", away)
    yield histogram("kala_commit_decisions", "Decisions in a commit.", commits.sizes)
    yield histogram("kala_commit_duration_seconds", "What commits took.", commits.seconds)
    yield counter("kala_commit_failures", "Commits that were refused, or had no answer.", commits.failures)
    yield counter("kala_commit_conflicts", "Records that another daemon had written first.", commits.conflicts)
    yield gauge("kala_writer_queue", "Decisions that wait to be written.", store.waiting)
    yield gauge("kala_results_waiting", "Ends of attempts that are not written yet.", spooled.waiting)
    yield gauge("kala_results_spooled", "Those of them that are in the spool.", spooled.kept)
    yield gauge("kala_spool_bytes", "The spool's size.", spooled.size)


def of_lease(lease: Lease) -> Iterator[Metric]:
    yield counter("kala_lease_renewals", "Renewals of the lease.", lease.renewals)
    yield counter("kala_lease_failures", "Renewals that the database did not take.", lease.failures)
    yield counter("kala_lease_losses", "How often other daemons have taken this one for dead.", lease.losses)
    yield gauge(
        "kala_lease_remaining_seconds", "For which runs may be started; 0: the lease is not valid.", lease.remaining()
    )


def of_pulse(pulse: Pulse) -> Iterator[Metric]:
    yield histogram("kala_event_loop_lag_seconds", "How late the loop came to what was due, once a second.", pulse.lag)
    yield counters("kala_clock_jumps", "How often the wall clock was set.", ["direction"], by(pulse.jumps))


def of_traffic(traffic: Traffic) -> Iterator[Metric]:
    connections, door = traffic.connections, traffic.door
    now, refused, slow, unreadable = 0, 0, 0, 0
    if connections is not None:
        now, refused, slow = len(connections.connections), connections.refused, connections.slow
        unreadable = connections.unreadable
    yield gauge("kala_http_connections", "Connections.", now)
    yield counter("kala_http_connections_refused", "Connections above the limit.", refused)
    yield counter("kala_http_connections_slow", "Connections cut off, since their peers sent or took too slowly.", slow)
    yield counter("kala_http_requests_unreadable", "Requests that were no HTTP, and answered so.", unreadable)
    codes = {f"{hundreds}xx": count for hundreds, count in sorted(traffic.answers.items())}
    yield counters("kala_http_requests", "Requests, by the classes of their answers.", ["code"], by(codes))
    yield histograms(
        "kala_http_request_duration_seconds",
        "From a request's arrival to the beginning of its answer.",
        ["method", "route"],
        {route or NOWHERE: one for route, one in traffic.seconds.items()},
    )
    denied = 0 if door is None else door.refused
    yield counter("kala_authentication_failures", "Requests whose token was wrong, or not for this.", denied)


def of_build(database: str) -> Iterator[Metric]:
    about = {"version": __version__, "python": platform.python_version(), "database": database}
    yield InfoMetricFamily("kala_build", "What this is, and on what.", about)
