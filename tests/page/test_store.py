"""What the page keeps of what it hears: open runs, failures, counts by minute."""

import json
from typing import Any

import pytest

from .window import Window

pytestmark = pytest.mark.slow

RUN = {
    "id": "r",
    "job_id": "j",
    "job_name": "backup",
    "trigger": "schedule",
    "started": "2030-01-01T00:00:00Z",
    "attempts": [],
}
AT = "2030-01-01T00:00:30Z"


def event(kind: str, run: str = "r", **more: Any) -> dict[str, Any]:
    return {
        "id": "0-1",
        "type": kind,
        "at": AT,
        "job": "j",
        "job_name": "backup",
        "run": run,
        "trigger": "schedule",
        **more,
    }


def after(window: Window, *steps: str | list[dict[str, Any]]) -> Any:
    """What is kept after these: events, or lines of JavaScript. The window has no connection."""
    lines = [step if isinstance(step, str) else f"await heard({json.dumps(step)});" for step in steps]
    script = """async (store) => {
        const heard = (events) => new Promise((done) => {
            const ended = new AbortController();
            store.subscribe(({events}) => { if (events.length) { ended.abort(); done(); } }, ended.signal);
            store.take(events);
        });
        LINES
        return {
            running: [...store.state.running.values()], more: store.state.more, failures: store.state.failures,
            minutes: store.state.minutes,
        };
    }""".replace("LINES", "\n".join(lines))
    window.page.route_web_socket("**", lambda route: None)  # it says nothing
    window.page.goto(window.url("nonsense"))
    return window.evaluate_module("base.js", script)


def minute(at: str) -> dict[str, Any]:
    return {"at": at, "lateness": None} | dict.fromkeys(
        ["started", "succeeded", "failed", "timed_out", "cancelled", "lost", "skipped", "missed"], 0
    )


def test_a_run_comes_goes_on_and_ends(window: Window) -> None:
    claimed = event("run.claimed", state="claimed")
    started = event("run.started", state="running", started=AT, attempt=1)
    kept = after(window, [claimed, started])
    assert [(run["id"], run["state"], run["started"]) for run in kept["running"]] == [("r", "running", AT)]
    kept = after(window, [claimed, started], [event("run.finished", state="succeeded", attempt=1)])
    assert kept["running"] == []
    assert kept["failures"] == []


def test_a_run_that_waited_and_is_skipped_is_gone(window: Window) -> None:
    kept = after(window, [event("run.claimed", state="waiting")], [event("occurrence.skipped", state="skipped")])
    assert kept["running"] == []


def test_a_run_that_ends_while_open_ones_are_read_is_gone(window: Window) -> None:
    ended = json.dumps([event("run.finished", state="failed", attempt=1)])
    begun = json.dumps([event("run.started", "other", state="running", attempt=1)])
    kept = after(
        window,
        f"""await store.renewRunning(async () => {{
            await heard({ended});
            await heard({begun});
            return {{runs: [{json.dumps(RUN | {"state": "running"})}], more: false}};
        }});""",
    )
    assert [run["id"] for run in kept["running"]] == ["other"]
    assert [one["id"] for one in kept["failures"]] == ["r"]


def test_a_failure_that_comes_while_failures_are_read_is_there_once(window: Window) -> None:
    failed = json.dumps([event("run.finished", state="failed", attempt=1, error="exit code 1")])
    run = json.dumps(RUN | {"state": "lost", "id": "older", "ended": AT, "until": None, "reason": "", "count": 1})
    kept = after(window, f"await store.renewFailures(async () => {{ await heard({failed}); return [{run}]; }});")
    assert [one["id"] for one in kept["failures"]] == ["r", "older"]


def test_a_range_of_missed_occurrences_that_grows_is_one_failure(window: Window) -> None:
    times = [event("occurrence.missed", state="missed", count=count, added=added) for count, added in ((3, 3), (4, 1))]
    del times[1]["added"]  # 1 is left out
    kept = after(window, f"store.set({{minutes: [{json.dumps(minute('2030-01-01T00:00:00Z'))}]}});", times)
    assert [(one["id"], one["count"]) for one in kept["failures"]] == [("r", 4)]
    assert kept["minutes"][-1]["missed"] == 4


def test_events_are_counted_in_their_minutes(window: Window) -> None:
    hour = [minute(f"2030-01-01T00:{place:02}:00Z") for place in range(60)]
    events = [
        event("run.started", state="running", attempt=1) | {"at": "2030-01-01T00:59:59.9Z"},
        event("run.started", state="running", attempt=2) | {"at": "2030-01-01T00:59:59.9Z"},  # a retry is no start
        event("run.finished", state="timed_out", attempt=2) | {"at": "2030-01-01T01:00:00Z"},
        event("run.finished", "s", state="succeeded", attempt=1) | {"at": "2030-01-01T00:58:00Z"},
        event("run.finished", "t", state="succeeded", attempt=1) | {"at": "2029-12-31T23:00:00Z"},  # too old
    ]
    kept = after(window, f"store.set({{minutes: {json.dumps(hour)}}});", events)["minutes"]
    assert len(kept) == 60
    assert [kept[0]["at"], kept[-1]["at"][:16]] == ["2030-01-01T00:01:00Z", "2030-01-01T01:00"]
    found = {(one["at"][11:16], key): one[key] for one in kept for key in one if isinstance(one[key], int) and one[key]}
    assert found == {("00:59", "started"): 1, ("01:00", "timed_out"): 1, ("00:58", "succeeded"): 1}


def test_of_very_many_open_runs_some_are_kept(window: Window) -> None:
    kept = after(window, [event("run.claimed", str(place), state="claimed") for place in range(1_000)])
    assert len(kept["running"]) == 300
    assert kept["more"] is True
