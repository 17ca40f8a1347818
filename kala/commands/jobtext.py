"""A job as people read it: a row of a table, or lines."""

from collections.abc import Iterator
from typing import Any

from kala.commands import phrases
from kala.commands.table import Column, Paint
from kala.logs import escaped

COLUMNS = (
    Column("NAME", cut=True),
    Column("STATE"),
    Column("NEXT RUN"),
    Column("ID"),
    Column("OK", right=True),
    Column("FAILED", right=True),
    Column("LAST RUN"),
    Column("SCHEDULE", cut=True),
)
STATE = 1


def row(job: dict[str, Any]) -> list[str]:
    counters = job["metadata"]
    return [
        job["name"],
        state(job),
        "" if job["is_done"] else phrases.local(job["next_run_at"]),
        job["id"],
        f"{counters['success_count']:,}",
        f"{counters['error_count']:,}",
        phrases.local(counters["last_attempted_run"]),
        job["schedule"] or ("after its parents" if job["parent_jobs"] else "once"),
    ]


def state(job: dict[str, Any]) -> str:
    """A child is never done: it runs again whenever its parents succeed."""
    return "disabled" if job["disabled"] else "done" if job["is_done"] and not job["parent_jobs"] else "active"


def sentences(job: dict[str, Any], runs: str, paint: Paint) -> Iterator[str]:
    """The members that are not what they are by themselves; then its state, counters and last results. `runs`: when it
    does, in words."""
    from kala.client import definitions

    counters = job["metadata"]
    values: dict[str, Any] = {"name": job["name"], "id": job["id"], "state": state(job), "runs": runs}
    values |= {name: one for name, one in definitions.sparse(definitions.of_job(job)).items() if name != "disabled"}
    values |= {
        "children": job["dependent_jobs"],
        "next run": "" if job["is_done"] else phrases.local(job["next_run_at"]),
        "last run": phrases.local(counters["last_attempted_run"]),
        "last success": phrases.local(counters["last_success"]),
        "last failure": phrases.local(counters["last_error"]),
        "succeeded": counters["success_count"],
        "failed": counters["error_count"],
        "version": job["version"],
    }
    width = max(map(len, values))
    for name, value in values.items():
        lines = plain(value)
        for number, line in enumerate(lines):
            heading = paint(f"{name if not number else '':<{width}}", bold=True)
            text = paint.state(escaped(line), line) if name == "state" else escaped(line)
            yield f"{heading}  {text}".rstrip()
    if results := (job["stats"] or [])[-10:]:
        yield ""
        yield paint("Last results", bold=True)
        for one in results:
            outcome = "succeeded" if one["success"] else "failed"
            again = f", {one['number_of_retries']} retries" if one["number_of_retries"] else ""
            took = phrases.length(one["execution_duration"] / 1e9)
            yield f"  {phrases.local(one['ran_at'])}  {paint.state(outcome, outcome)} in {took}{again}"


def plain(value: Any) -> list[str]:
    """A member's value in lines; none when there is nothing to say."""
    if isinstance(value, dict):
        return [f"{key}: {' '.join(plain(one))}" for key, one in value.items()]
    if isinstance(value, list):
        return [" ".join(plain(one)) for one in value]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    return [] if value is None or value == "" else [str(value)]
