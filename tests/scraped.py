"""What `/metrics` says, read as Prometheus reads it."""

import gzip
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families


class Family(NamedTuple):
    """A family, by the name of its samples: without `_bucket` and the like, and with `_total`."""

    type: str
    labels: frozenset[str]  # without `le`


class Scrape:
    """One answer's samples. A counter that is not there is a fault, and so is one that is there twice."""

    def __init__(self, body: bytes, content_type: str = "text/plain") -> None:
        if body.startswith(b"\x1f\x8b"):
            body = gzip.decompress(body)
        self.text = body.decode()
        parse = openmetrics_families if content_type.startswith("application/openmetrics-text") else None
        self.families: dict[str, Family] = {}
        self._samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in (parse or text_string_to_metric_families)(self.text):
            labels: set[str] = set()
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self._samples, f"{key} is there twice"
                self._samples[key] = sample.value
                labels |= sample.labels.keys() - {"le"}
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            name = family.name if family.name.endswith(suffix) else family.name + suffix
            self.families[name] = Family("gauge" if family.type == "info" else family.type, frozenset(labels))

    def value(self, name: str, **labels: str) -> float:
        """The one sample with these labels."""
        return self._samples[name, frozenset(labels.items())]

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of a name that are not 0, by the values of their labels in the order of the labels' names."""
        return {
            tuple(value for _, value in sorted(labels)): number
            for (other, labels), number in self._samples.items()
            if other == name and number
        }

    def classes(self, name: str, **labels: str) -> Mapping[float, float]:
        """A histogram's counts, up to each bound."""
        return {
            float(dict(found)["le"]): number
            for (other, found), number in self._samples.items()
            if other == f"{name}_bucket" and dict(found).items() >= labels.items()
        }
