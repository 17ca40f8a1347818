"""Graphs as SVG, drawn by hand: lines or stacked bars over time, in colours for light and for dark ground."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

COLOURS = ("#3b8eea", "#d9822b", "#2a9d6e", "#b565d8", "#d9534f", "#8d99a6")
INK, GRID = "#808890", "#80889044"
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 40, 24  # pixels around what is drawn
Points = Sequence[tuple[float, float]]


class Graph:
    """A panel of `width` × `height` pixels at (0, `y`): its frame, from 0 to `most`, and what is drawn in it. Times are
    in seconds."""

    def __init__(self, title: str, seconds: float, most: float, *, y: float = 0, width: int = 760, height: int = 170):
        self.seconds, self.most = max(seconds, 1.0), nice(most)
        self._x, self._y = LEFT, y + TOP
        self._width, self._height = width - LEFT - RIGHT, height - TOP - BOTTOM
        self._legend = LEFT
        self._parts = [text(LEFT, y + 14, title, weight="bold")]
        for part in range(5):
            level = self.most * part / 4
            place = self.y(level)
            self._parts.append(line(self._x, place, self._x + self._width, place, GRID))
            self._parts.append(text(self._x - 6, place + 4, f"{level:g}", anchor="end"))
        for at in ticks(self.seconds):
            self._parts.append(text(self.x(at), self._y + self._height + 16, clock(at, self.seconds), anchor="middle"))

    def x(self, at: float) -> float:
        return self._x + self._width * at / self.seconds

    def y(self, value: float) -> float:
        return self._y + self._height * (1 - min(value, self.most) / self.most)

    def name(self, what: str, colour: str) -> None:
        """An entry of the legend."""
        self._parts.append(f'<rect x="{self._legend}" y="{self._y - 16}" width="10" height="10" fill="{colour}"/>')
        self._parts.append(text(self._legend + 14, self._y - 7, what))
        self._legend += 24 + round(6.6 * len(what))

    def line(self, name: str, points: Points, colour: str) -> None:
        self.name(name, colour)
        drawn = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in points)
        self._parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5"/>')

    def bars(self, step: float, stacks: Mapping[str, Sequence[float]]) -> None:
        """Stacked, one for each `step` seconds."""
        floors: dict[int, float] = {}
        for (name, values), colour in zip(stacks.items(), COLOURS, strict=False):
            self.name(name, colour)
            for place, value in enumerate(values):
                if value:
                    low = floors.get(place, 0.0)
                    floors[place] = low + value
                    left, right = self.x(place * step), self.x(min((place + 1) * step, self.seconds))
                    top, bottom = self.y(low + value), self.y(low)
                    self._parts.append(
                        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(right - left - 0.5, 0.5):.1f}"'
                        f' height="{bottom - top:.1f}" fill="{colour}"/>'
                    )

    def span(self, since: float, until: float, about: str, colour: str) -> None:
        """A stretch of time, with a word that appears under the pointer."""
        left, right = self.x(since), self.x(min(until, self.seconds))
        self._parts.append(
            f'<rect x="{left:.1f}" y="{self._y}" width="{max(right - left, 1.5):.1f}" height="{self._height}"'
            f' fill="{colour}" fill-opacity="0.25"><title>{escape(about)}</title></rect>'
        )

    def __str__(self) -> str:
        return "\n".join(self._parts)


def document(parts: Sequence[object], height: float, about: str, *, width: int = 760) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="11" fill="{INK}">\n<title>{escape(about)}</title>\n'
        + "\n".join(map(str, parts))
        + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def nice(most: float) -> float:
    """The least of 1, 2, 4, 5, 8 and 10 times a power of ten that is not below."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= most * (1 - 1e-9))


def ticks(seconds: float) -> list[float]:
    """Times to name: at most 13, the first of them 0."""
    step = next(one for one in (5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400) if seconds / one <= 12)
    return [float(step * number) for number in range(int(seconds // step) + 1)]


def clock(at: float, of: float) -> str:
    """Minutes, with seconds where the whole is short."""
    return f"{at / 60:g} min" if of > 900 else f"{int(at // 60)}:{int(at % 60):02d}"
