"""Jobs that depend on each other: examples/dependent_jobs.py [http://127.0.0.1:8000]

    extract ─┬─ clean ─── report
             └─ archive

The children of a job run after each success of it, one after the other, in the order in which they were made; each is
followed by its own children first: extract, clean, report, archive. When `extract` fails, none of them runs, and
`alarm` does.
"""

import json
import sys
import time
import urllib.request
from typing import Any

KALA = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"


def call(method: str, path: str, body: object = None) -> Any:
    """One request to the API. Raises `urllib.error.HTTPError` for an answer of 400 and above."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{KALA}/api/v1{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def create(**job: object) -> str:
    return str(call("POST", "/job/", job)["id"])


def main() -> None:
    # Every night. A day in the future keeps it from running before we start it by hand below.
    nightly = "R/2100-01-01T02:00:00Z/P1D"
    # Once, and far away: a job that is only there to be set off by others.
    never = "R0/2100-01-01T00:00:00Z/PT0S"

    alarm = create(name="alarm", command="echo the extract has failed", schedule=never)
    extract = create(name="extract", command="echo extracting", schedule=nightly, retries=2, on_failure_job=alarm)
    clean = create(name="clean", command="echo cleaning", parent_jobs=[extract])
    report = create(name="report", command="echo reporting", parent_jobs=[clean])
    archive = create(name="archive", command="echo archiving", parent_jobs=[extract])
    print(f"extract has the children {call('GET', f'/job/{extract}/')['job']['dependent_jobs']}")

    # Answered when the run, and all that it has set off, has ended.
    call("POST", f"/job/start/{extract}/")
    show({"extract": extract, "clean": clean, "report": report, "archive": archive, "alarm": alarm})

    # The same with a command that fails: three attempts, no child, and the alarm.
    call("PATCH", f"/job/{extract}/", {"command": "false"})
    call("POST", f"/job/start/{extract}/")
    show({"extract": extract, "clean": clean, "report": report, "archive": archive, "alarm": alarm})

    # With a job go those of its children that have no other parent.
    call("DELETE", f"/job/{extract}/")
    call("DELETE", f"/job/{alarm}/")
    print(f"left: {[one for one in call('GET', '/job/')['jobs'] if one in (clean, report, archive)]}")


def show(jobs: dict[str, str]) -> None:
    """What has run until now, in the order in which it did."""
    rows = []
    for name, job_id in jobs.items():
        for row in call("GET", f"/job/stats/{job_id}/")["job_stats"] or []:
            rows.append((row["ran_at"], name, row["success"], row["number_of_retries"]))
    print(time.strftime("%H:%M:%S"))
    for ran_at, name, success, retries in sorted(rows):
        print(f"  {ran_at}  {name:8} {'succeeded' if success else 'failed'} after {retries} retries")


if __name__ == "__main__":
    main()
