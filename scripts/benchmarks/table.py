"""What was measured, as Markdown: tables, and in words what is ahead and what is behind."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.plots import pictures
from benchmarks.results import Results, is_rate
from benchmarks.tools import number, shown

OURS, FLOOR = "Kala", "the floor"
EVEN = 0.1
"""What differs by no more is called even."""
GROUPS = {
    "creates": r"creates|a create[: ](?!during)|time of the last tenth|claims",
    "reads": r"GET of",
    "lists": r"whole list|page of|search",
    "lateness": r"(?!.* during ).* due|one job every",
    "runs": r"most runs|a run, |drift",
    "meanwhile": r"(GET /stats/|a create) during",
}
"""By section, how names of figures begin."""
HEADLINES = (
    "creates, one at a time over 16 connections, /s",
    "creates, all in one request, /s",
    "GET of one job, /s",
    "one job every 50 ms: p50, ms",
    "1,000 jobs due at once: p50, ms",
    "1,000 jobs due at once: p99, ms",
    "1,000 calls due at once: p99, ms",
    "10,000 jobs due at once: p99, ms",
    "most runs, 1,600 asked for, /s",
    "100,000 jobs: memory, MB",
    "100,000 jobs: ready again, s",
)
SIZED = re.compile(r"([\d,]+) jobs: (.+)")
SECTION = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def peers(results: Results) -> list[str]:
    """Ours on SQLite, the others, and the floor: not ours on other databases or in trouble."""
    titles = [title for title in results.columns if not re.match(r"Kala( on |, (?!before))", title)]
    return sorted(titles, key=lambda title: (title != OURS, title == FLOOR))


def on_databases(results: Results) -> list[str]:
    return [title for title in results.columns if title == OURS or re.fullmatch(r"Kala on [^,]+", title)]


def troubled(results: Results) -> list[list[str]]:
    """Groups of columns: one without trouble, and the same with each."""
    groups = []
    for plain in on_databases(results):
        kinds = [t for t in results.columns if t.startswith(f"{plain}, ") and t != f"{OURS}, before"]
        if kinds:
            groups.append([plain, *kinds])
    return groups


def names_of(results: Results, titles: Iterable[str], pattern: str) -> list[str]:
    found = (name for title in titles for name in results.columns[title].figures)
    return [name for name in dict.fromkeys(found) if re.match(pattern, name) and not SIZED.match(name)]


def table(results: Results, titles: Sequence[str], names: Sequence[str]) -> str:
    """A row for each figure; columns that have none of them are left out."""
    titles = [title for title in titles if any(name in results.columns[title].figures for name in names)]
    if not titles:
        return "(not measured)"
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for name in names:
        if not any(name in results.columns[title].figures for title in titles):
            continue
        values = (results.columns[title].figures.get(name) for title in titles)
        lines.append(f"| {name} | " + " | ".join(shown(one) if one else "" for one in values) + " |")
    return "\n".join(lines)


def sizes(results: Results) -> str:
    """By contender a table with a column for each number of jobs."""
    tables = []
    for title in [*peers(results), *(t for t in on_databases(results) if t != OURS)]:
        found = results.columns[title]
        rows: dict[str, dict[int, list[float]]] = {}
        for name, values in found.figures.items():
            if match := SIZED.match(name):
                jobs, what = int(match[1].replace(",", "")), re.sub(r"list of [\d,]*\d", "list", match[2])
                rows.setdefault(what, {})[jobs] = values
        counts = sorted({jobs for row in rows.values() for jobs in row})
        if counts:
            lines = [f"| {title} | " + " | ".join(f"{jobs:,} jobs" for jobs in counts) + " |"]
            lines.append("|---" * (len(counts) + 1) + "|")
            for what, row in rows.items():
                lines.append(f"| {what} | " + " | ".join(shown(row[n]) if n in row else "" for n in counts) + " |")
            tables.append("\n".join(lines))
    return "\n\n".join(tables) or "(not measured)"


def databases(results: Results) -> str:
    """What was measured on others than SQLite."""
    titles = on_databases(results)
    others = [title for title in titles if title != OURS]
    return table(results, titles, names_of(results, others, "")) if others else "(not measured)"


def trouble(results: Results) -> str:
    return "\n\n".join(table(results, g, names_of(results, g[1:], "")) for g in troubled(results)) or "(not measured)"


def standing(results: Results) -> str:
    """By peer: in what ours is ahead, behind, or even, by medians; the most first."""
    if OURS not in results.columns:
        return "(not measured)"
    ours, lines = results.columns[OURS], []
    for title in peers(results):
        if title in (OURS, FLOOR):
            continue
        sides: dict[str, list[tuple[float, str]]] = {"ahead of": [], "even with": [], "behind": []}
        for name in results.columns[title].figures:
            mine, theirs = ours.median(name), results.columns[title].median(name)
            if not mine or not theirs or mine < 0 or theirs < 0:
                continue
            factor = mine / theirs if is_rate(name) else theirs / mine
            side = "ahead of" if factor > 1 + EVEN else "behind" if factor < 1 / (1 + EVEN) else "even with"
            factor = max(factor, 1 / factor)
            times = f" ({number(factor)} times)" if side != "even with" else ""
            sides[side].append((factor, re.sub(r", (ms|s|µs|MB|/s|% of a core)$", "", name) + times))
        for side, what in sides.items():
            if what:
                told = "; ".join(name for _, name in sorted(what, key=lambda one: -one[0]))
                lines.append(f"- {side} {title}: {told}")
    return "\n".join(lines) or "(not measured)"


def measured_on(results: Results) -> str:
    told = "; ".join(f"{title}: {version}" for title, version in results.versions.items())
    return f"{results.machine}. {told}."


SECTIONS: dict[str, Callable[[Results], str]] = {
    **{
        section: lambda results, pattern=pattern: table(  # type: ignore[misc]
            results, peers(results), names_of(results, peers(results), pattern)
        )
        for section, pattern in GROUPS.items()
    },
    "machine": measured_on,
    "headline": lambda results: f"{results.machine}.\n\n{table(results, peers(results), HEADLINES)}",
    "sizes": sizes,
    "databases": databases,
    "trouble": trouble,
    "standing": standing,
}


def everything(results: Results) -> str:
    """For a terminal."""
    order = ["machine", *GROUPS, "sizes", "databases", "trouble", "standing"]
    parts = [(name, SECTIONS[name](results)) for name in order]
    return "\n\n".join(f"{name}\n\n{text}" for name, text in parts if text != "(not measured)")


def write(document: Path, results: Results) -> None:
    """Fill what is between `<!-- bench: SECTION -->` and `<!-- /bench -->`, and draw the pictures that it shows."""

    def filled(match: re.Match[str]) -> str:
        return f"{match[1]}{SECTIONS[match[2]](results)}\n{match[3]}"

    text = SECTION.sub(filled, document.read_text())
    document.write_text(text)
    for name, picture in pictures(results, peers(results), troubled(results)).items():
        if (path := f"pictures/speed-{name}.svg") in text:
            (document.parent / path).parent.mkdir(exist_ok=True)
            (document.parent / path).write_text(picture)
