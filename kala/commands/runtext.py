"""A run as people read it: a row of a table, or lines."""

from collections.abc import Iterator
from typing import Any

from kala.client.board import why
from kala.commands import phrases
from kala.commands.table import Column, Paint, table
from kala.logs import escaped

COLUMNS = (
    Column("ID"),
    Column("JOB", cut=True),
    Column("STATE"),
    Column("SCHEDULED FOR"),
    Column("TOOK", right=True),
    Column("LATE", right=True),
    Column("TRIGGER"),
    Column("REASON", cut=True),
)
STATE = 2
ATTEMPTS = (
    Column("ATTEMPT", right=True),
    Column("STATE"),
    Column("STARTED"),
    Column("TOOK", right=True),
    Column("ENDED BY"),
    Column("CPU", right=True),
    Column("MEMORY", right=True),
    Column("OUTPUT", right=True),
    Column("ERROR", cut=True),
)


def row(run: dict[str, Any]) -> list[str]:
    several = f" × {run['count']:,}" if run["count"] > 1 else ""
    return [
        run["id"],
        run["job_name"],
        run["state"] + several,
        phrases.local(run["scheduled_for"]),
        phrases.length(run["duration"]),
        phrases.length(run["lateness"]),
        run["trigger"],
        why(run),
    ]


def sentences(run: dict[str, Any], paint: Paint, width: int | None) -> Iterator[str]:
    """What is known of a run: the sentence that explains it first, its attempts last."""
    values = {
        "run": run["id"],
        "job": f"{run['job_name']} ({run['job_id']}, version {run['job_version']})",
        "state": run["state"],
        "because": run["explanation"],
        "trigger": run["trigger"],
        "scheduled for": phrases.local(run["scheduled_for"]),
        "due": phrases.local(run["due"]) if run["due"] != run["scheduled_for"] else "",
        "until": phrases.local(run["until"]),
        "occurrences": f"{run['count']:,}" if run["count"] > 1 else "",
        "not before": phrases.local(run["not_before"]),
        "started": phrases.local(run["started"]),
        "ended": phrases.local(run["ended"]),
        "took": phrases.length(run["duration"]),
        "late": phrases.length(run["lateness"]),
        "retries": run["retries"] or "",
        "set off by": f"run {run['parent_run']} of job {run['parent_job']}" if run["parent_run"] else "",
        "instance": run["instance"],
    }
    for name, value in values.items():
        if text := escaped(str(value or "")):
            yield f"{paint(f'{name:<13}', bold=True)}  {paint.state(text, text) if name == 'state' else text}"
    if run["attempts"]:
        yield ""
        yield from table(ATTEMPTS, [attempt_row(one) for one in run["attempts"]], width=width, paint=paint, state=1)


def attempt_row(attempt: dict[str, Any]) -> list[str]:
    return [
        str(attempt["number"]),
        attempt["state"],
        phrases.local(attempt["started"]),
        phrases.length(attempt["duration"]),
        ended_by(attempt),
        phrases.length(attempt["cpu"]),
        phrases.size(attempt["memory"]),
        phrases.size(attempt["output_size"]),
        attempt["error"],
    ]


def ended_by(attempt: dict[str, Any]) -> str:
    for name, word in (("status", "status"), ("signal", "signal"), ("exit_code", "exit code")):
        if attempt[name] is not None:
            return f"{word} {attempt[name]}"
    return ""
