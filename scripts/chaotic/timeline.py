"""One run of `scripts/chaos` as a graph: what became of runs, second by second, and when a fault was."""

from collections import defaultdict

from chaotic.clock import Clock
from chaotic.faults import Strike
from chaotic.svg import INK, Graph, document, text
from chaotic.verdict import Verdict

STEP = 5.0  # seconds
STATES = ("succeeded", "failed", "timed_out", "cancelled", "lost")
HEIGHT, ROWS = 230, 4


def timeline(verdict: Verdict, strikes: list[Strike], clock: Clock | None, began: float, ended: float) -> str:
    """Runs are where they ended, by the real clock; what is lost where it started."""
    last: dict[str, float] = {}
    for (run_id, _), times in verdict.lines.items():
        last[run_id] = max([last.get(run_id, 0.0), *times])
    for (run_id, _), at in verdict.over.items():
        last[run_id] = max(last.get(run_id, 0.0), at)
    counts: dict[str, dict[int, float]] = {state: defaultdict(float) for state in STATES}
    for run in verdict.ended.values():
        if run.state.value not in STATES:
            continue
        shown = (run.ended or 0) / 1e6
        at = last.get(run.id) or (clock.real(shown) if clock is not None else shown)
        counts[run.state.value][int((at - began) // STEP)] += 1 / STEP
    places = int((ended - began) // STEP) + 1
    stacks = {state: [counts[state][place] for place in range(places)] for state in STATES if counts[state]}
    most = max(sum(stack[place] for stack in stacks.values()) for place in range(places))
    graph = Graph("Runs that ended, a second", ended - began, most, height=HEIGHT)
    words = []
    for number, strike in enumerate(strikes):
        since, until = strike.since - began, max(strike.until - began, strike.since - began + 1)
        graph.span(since, until, strike.kind, INK)
        words.append(text(graph.x(since), HEIGHT + 10 + 12 * (number % ROWS), strike.kind))
    graph.bars(STEP, stacks)
    kinds = ", ".join(dict.fromkeys(strike.kind for strike in strikes))
    return document([graph, *words], HEIGHT + 14 + 12 * ROWS, f"Runs that ended, under {kinds}")
