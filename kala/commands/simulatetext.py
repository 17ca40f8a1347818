"""What `kala simulate` shows: tables for people, lines of JSON for programs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any

from kala.clock import SECOND, Moment, rfc3339
from kala.commands import phrases
from kala.commands.session import Session
from kala.commands.table import Column
from kala.job import Record, Run
from kala.simulation import Span
from kala.simulation.clockchanges import clock_changes
from kala.simulation.tally import Counts, Tally
from kala.wire.explain import explain
from kala.wire.jobjson import encode
from kala.wire.runjson import run_object

COLUMNS = [
    Column("JOB", cut=True),
    Column("RUNS", right=True),
    Column("FAILED", right=True),
    Column("RETRIES", right=True),
    Column("LATE", right=True),
    Column("SKIPPED", right=True),
    Column("MISSED", right=True),
    Column("LOST", right=True),
]
EVENTS = [Column("AT"), Column("JOB", cut=True), Column("WHAT", cut=True)]


class Report:
    """Takes what the simulation comes to. With `lines` each run is written there as it comes."""

    def __init__(self, records: Sequence[Record], whole: Span, limit: int, lines: IO[bytes] | None) -> None:
        self.records, self._whole, self._limit, self._lines = records, whole, limit, lines
        self._by_id = {record.id: record for record in records}
        self.tally = Tally(self._by_id, limit)

    def add(self, run: Run) -> None:
        self.tally.add(run)
        if self._lines is not None:
            self._lines.write(encode(run_object(run, self._by_id[run.job_id])) + b"\n")

    def clock_changes(self) -> list[tuple[Moment, str, str]]:
        """Moments, jobs' ids and sentences, in order."""
        found = [
            (moment, record.id, note)
            for record in self.records
            for moment, note in clock_changes(record, self._whole.begin, self._whole.end)
        ]
        return sorted(found)

    # For programs.

    def print_summary(self, waiting: int) -> None:
        assert self._lines is not None  # noqa: S101  # who asks for a summary has given lines
        changes = self.clock_changes()
        summary = {
            "from": rfc3339(self._whole.begin),
            "to": rfc3339(self._whole.end),
            "total": as_object(self.tally.total),
            "waiting": waiting,
            "jobs": [
                {"id": one, "name": self._by_id[one].job.name, **as_object(counts)}
                for one, counts in self.tally.jobs.items()
            ],
            "clock_changes": [
                {"at": rfc3339(at), "job_id": one, "job_name": self._by_id[one].job.name, "note": note}
                for at, one, note in changes
            ],
        }
        self._lines.write(encode({"summary": summary}) + b"\n")

    # For people.

    def print_text(self, session: Session, waiting: int) -> None:
        rows = [row(self._by_id[one].job.name, counts) for one, counts in self.tally.jobs.items()]
        if len(rows) != 1:
            rows.append(row(f"({len(rows):,} jobs)", self.tally.total))
        session.table(COLUMNS, rows)
        if waiting:
            session.say(f"{waiting:,} of these moments' runs still wait when the period is over.")
        runs, more = self.tally.worth_a_look()
        self._list(session, "What did not run, or was lost:", self._non_runs(runs), more)
        changes = self.clock_changes()
        shown = [(at, one, note) for at, one, note in islice(changes, self._limit)]
        self._list(session, "What changes of the clocks do:", shown, len(changes) - len(shown))

    def _non_runs(self, runs: Sequence[Run]) -> Iterator[tuple[Moment, str, str]]:
        for run in runs:
            yield run.scheduled_for, run.job_id, explain(run, self._by_id[run.job_id].job)

    def _list(self, session: Session, heading: str, events: Any, more: int) -> None:
        rows = [[phrases.local(rfc3339(at)), self._by_id[one].job.name, text] for at, one, text in events]
        if rows:
            session.say("")
            session.say(heading)
            session.table(EVENTS, rows)
        if more:
            session.say(f"… and {more:,} more (--limit)")


def row(name: str, counts: Counts) -> list[str]:
    late = f"{counts.late:,} (up to {phrases.length(counts.worst / SECOND)})" if counts.late else "0"
    return [
        name,
        f"{counts.runs:,}",
        f"{counts.failed:,}",
        f"{counts.retried:,}",
        late,
        by_reason(counts.skipped),
        by_reason(counts.missed),
        f"{counts.lost:,}",
    ]


def by_reason(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in Counter(counted).most_common()) or "0"


def as_object(counts: Counts) -> dict[str, Any]:
    return {
        "runs": counts.runs,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "retries": counts.retried,
        "late": counts.late,
        "worst_lateness": counts.worst / SECOND,
        "skipped": dict(counts.skipped),
        "missed": dict(counts.missed),
        "lost": counts.lost,
    }
