"""What was measured: figures by contender and name, kept in a file to which each run of the script adds."""

import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any


class Found:
    """The figures of one contender: of each name a value for each round, and curves of lateness alike."""

    def __init__(
        self, figures: dict[str, list[float]] | None = None, curves: dict[str, list[list[float]]] | None = None
    ) -> None:
        self.figures, self.curves = figures or {}, curves or {}

    def add(self, name: str, value: float) -> None:
        """The name ends with its unit: `/s` is a rate, of which more is better; of all else less is."""
        self.figures.setdefault(name, []).append(value)

    def curve(self, name: str, quantiles: list[float]) -> None:
        self.curves.setdefault(name, []).append(quantiles)

    def median(self, name: str) -> float | None:
        return statistics.median(self.figures[name]) if self.figures.get(name) else None

    def middle_curve(self, name: str) -> list[float]:
        """Of each quantile the median of all rounds."""
        return [statistics.median(values) for values in zip(*self.curves[name], strict=True)]


class Results:
    """Columns are contenders by their titles. `file` is where they come from and go to; None: nowhere."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        kept: dict[str, Any] = json.loads(file.read_text()) if file is not None and file.exists() else {}
        self.machine: str = kept.get("machine") or machine()
        self.versions: dict[str, str] = kept.get("versions", {})
        self.columns = {title: Found(**found) for title, found in kept.get("columns", {}).items()}

    def column(self, title: str) -> Found:
        return self.columns.setdefault(title, Found())

    def save(self) -> None:
        if self._file is None:
            return
        columns = {title: {"figures": one.figures, "curves": one.curves} for title, one in self.columns.items()}
        kept = {"machine": self.machine, "versions": self.versions, "columns": columns}
        aside = self._file.with_name(f"{self._file.name}.new")
        aside.write_text(json.dumps(kept, indent=1) + "\n")
        aside.rename(self._file)


def is_rate(name: str) -> bool:
    return name.endswith("/s")


def machine() -> str:
    """What it is measured on, in a line."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()).replace("GNU/Linux ", "")
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({model}), Linux {platform.release()}, {system}, Python {platform.python_version()}"
