"""Families of samples, in fewer words than the library has for them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from kala.histogram import Histogram

Rows = Iterable[tuple[Sequence[str], float]]
"""The values of labels, and a value."""


def counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


def gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def counters(name: str, about: str, labels: Sequence[str], rows: Rows) -> Metric:
    return _filled(CounterMetricFamily(name, about, labels=labels), rows)


def gauges(name: str, about: str, labels: Sequence[str], rows: Rows) -> Metric:
    return _filled(GaugeMetricFamily(name, about, labels=labels), rows)


def _filled(family: Any, rows: Rows) -> Metric:
    for values, value in rows:
        family.add_metric(values, value)
    made: Metric = family
    return made


def histogram(name: str, about: str, counted: Histogram) -> Metric:
    return histograms(name, about, (), {(): counted})


def histograms(name: str, about: str, labels: Sequence[str], counted: Mapping[Sequence[str], Histogram]) -> Metric:
    """`counted` are by the values of the labels."""
    family = HistogramMetricFamily(name, about, labels=labels)
    for values, one in counted.items():
        bounds = [*map(floatToGoString, one.bounds), "+Inf"]
        family.add_metric(values, list(zip(bounds, accumulate(one.counts), strict=True)), one.sum)
    return family


def by(rows: Mapping[str, float]) -> Rows:
    """Rows of one label."""
    return [((value,), number) for value, number in rows.items()]
