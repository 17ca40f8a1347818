"""Plots of what was measured: bars, curves of lateness, and lines over the number of jobs, in colours for light and for
dark ground."""

import math
import re
from collections.abc import Mapping, Sequence

from benchmarks.results import Results
from benchmarks.tools import QUANTILES, number
from chaotic.svg import COLOURS, GRID, document, line, nice, text

WIDTH, LEFT, RIGHT = 760, 70, 32
Series = Mapping[str, Sequence[tuple[float, float]]]


def legend(titles: Sequence[str], y: float) -> list[str]:
    parts, x = [], float(LEFT)
    for title, colour in zip(titles, COLOURS, strict=False):
        parts.append(f'<rect x="{x:.0f}" y="{y - 9:.0f}" width="10" height="10" fill="{colour}"/>')
        parts.append(text(x + 14, y, title))
        x += 28 + 6.2 * len(title)
    return parts


def bars(heading: str, rows: Mapping[str, Mapping[str, float]], titles: Sequence[str]) -> str:
    """For each row a bar for each title, as long as its share of the longest in that row."""
    parts, y = [text(LEFT, 16, heading, weight="bold"), *legend(titles, 36)], 56.0
    for row, values in rows.items():
        most = max(values.values())
        parts.append(text(LEFT, y + 4, row))
        y += 10
        for title, colour in zip(titles, COLOURS, strict=False):
            if title in values:
                wide = (WIDTH - LEFT - RIGHT - 80) * values[title] / most
                parts.append(f'<rect x="{LEFT}" y="{y:.0f}" width="{wide:.1f}" height="11" fill="{colour}"/>')
                parts.append(text(LEFT + wide + 5, y + 9, number(values[title])))
                y += 13
        y += 14
    return document(parts, y, heading)


def lines(heading: str, series: Series, *, logarithmic: bool, y: float = 0, height: float = 220) -> list[str]:
    """Points (x, y) joined, both from 0 on, or both in powers of ten."""
    drawn = [one for points in series.values() for one in points]
    scale = (lambda value: math.log10(max(value, 1e-9))) if logarithmic else (lambda value: value)
    xs, ys = [scale(x) for x, _ in drawn], [scale(value) for _, value in drawn]
    least_x, most_x = (math.floor(min(xs)), math.ceil(max(xs))) if logarithmic else (0, max(xs))
    least_y, most_y = (math.floor(min(ys)), math.ceil(max(ys))) if logarithmic else (0, nice(max(ys)))
    top, bottom = y + 48, y + height - 24

    def at_x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (scale(value) - least_x) / max(most_x - least_x, 1e-9)

    def at_y(value: float) -> float:
        return bottom - (bottom - top) * (scale(value) - least_y) / max(most_y - least_y, 1e-9)

    parts = [text(LEFT, y + 16, heading, weight="bold"), *legend(list(series), y + 34)]
    for level in powers(least_y, most_y) if logarithmic else [most_y * part / 4 for part in range(5)]:
        parts.append(line(LEFT, at_y(level), WIDTH - RIGHT, at_y(level), GRID))
        parts.append(text(LEFT - 6, at_y(level) + 4, f"{level:,g}", anchor="end"))
    step = nice(most_x / 6)
    for place in powers(least_x, most_x) if logarithmic else [step * part for part in range(int(most_x / step) + 1)]:
        parts.append(text(at_x(place), bottom + 15, f"{place:,.0f}", anchor="middle"))
    for points, colour in zip(series.values(), COLOURS, strict=False):
        places = " ".join(f"{at_x(x):.1f},{at_y(value):.1f}" for x, value in points)
        parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if logarithmic:
            dots = (f'<circle cx="{at_x(x):.1f}" cy="{at_y(value):.1f}" r="3" fill="{colour}"/>' for x, value in points)
            parts += dots
    return parts


def powers(least: float, most: float) -> list[float]:
    return [10.0**power for power in range(int(least), int(most) + 1)]


def pictures(results: Results, peers: Sequence[str], troubled: Sequence[Sequence[str]]) -> dict[str, str]:
    """By name, as SVG: those for which there is something."""
    made = {}
    if rows := rates(results, peers):
        made["rates"] = bars("Rates, a second: more is better", rows, peers)
    for number_of, group in enumerate(troubled):
        if rows := rates(results, group):
            name = "trouble" if number_of == 0 else f"trouble-{number_of + 1}"
            short = {title: title.removeprefix(f"{group[0]}, ") for title in group}
            named = {row: {short[title]: value for title, value in values.items()} for row, values in rows.items()}
            made[name] = bars(f"Rates of {group[0]} in trouble, a second", named, list(short.values()))
    curves = dict.fromkeys(name for title in peers for name in results.columns[title].curves)
    for name in curves:
        series = {
            title: list(zip(results.columns[title].middle_curve(name), range(QUANTILES + 1), strict=True))
            for title in peers
            if name in results.columns[title].curves
        }
        heading = f"{name}: percent of them started, after so many ms"
        parts = lines(heading, series, logarithmic=False)
        made["late-" + re.sub(r"\W+", "-", name.replace(",", "").removesuffix(" due at once"))] = document(
            parts, 230, heading
        )
    panels: list[str] = []
    for place, what in enumerate(growing := grown(results, peers)):
        panels += lines(f"{what}, by the number of jobs", growing[what], logarithmic=True, y=230 * place)
    if panels:
        made["growth"] = document(panels, 230 * len(growing), "What grows with the number of jobs")
    return made


def rates(results: Results, titles: Sequence[str]) -> dict[str, dict[str, float]]:
    """Medians of all rates that several have, by figure and title."""
    rows: dict[str, dict[str, float]] = {}
    for title in titles:
        found = results.columns[title]
        for name in found.figures:
            if name.endswith("/s") and " jobs: " not in name:
                rows.setdefault(name.removesuffix(", /s"), {})[title] = found.median(name) or 0.0
    return {name: row for name, row in rows.items() if len(row) > 1 and max(row.values()) > 0}


def grown(results: Results, peers: Sequence[str]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """By figure and title: (jobs, median), where there is more than one number of jobs."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for title in peers:
        found = results.columns[title]
        for name in found.figures:
            match = re.match(r"([\d,]+) jobs: (memory, MB|ready again, s|whole list)", name)
            if match and (value := found.median(name)) is not None and value > 0:
                what = match[2] + (", ms" if match[2] == "whole list" else "")
                panels.setdefault(what, {}).setdefault(title, []).append((float(match[1].replace(",", "")), value))
    several = {what: {t: sorted(p) for t, p in row.items() if len(p) > 1} for what, row in panels.items()}
    return {what: row for what, row in several.items() if row}
