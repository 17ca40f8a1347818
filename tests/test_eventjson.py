"""Events on the wire."""

import pytest

from kala import events
from kala.events import Event
from kala.wire.eventjson import event_id, event_json, number_in

NOW = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            Event(events.STORE_UP, NOW),
            '{"id":"00ff00ff-7","at":"2023-11-14T22:13:20Z","type":"store.up"}',
        ),
        (
            Event(events.JOB_SAVED, NOW, "j", version=3),
            '{"id":"00ff00ff-7","at":"2023-11-14T22:13:20Z","type":"job.saved","job":"j","version":3}',
        ),
        (
            Event(
                events.RUN_FINISHED,
                NOW,
                job="j",
                run="r",
                state="failed",
                reason="retry",
                scheduled_for=NOW - 5_000_000,
                trigger="schedule",
                started=NOW - 4_500_000,
                duration=0,
                attempt=2,
                job_name="backup",
            ),
            '{"id":"00ff00ff-7","at":"2023-11-14T22:13:20Z","type":"run.finished","job":"j","job_name":"backup",'
            '"run":"r","state":"failed","reason":"retry","scheduled_for":"2023-11-14T22:13:15Z","trigger":"schedule",'
            '"started":"2023-11-14T22:13:15.5Z","duration":0.0,"attempt":2}',
        ),
        (
            Event(events.OCCURRENCE_MISSED, NOW, "j", "r", "missed", "down", scheduled_for=0, until=NOW, count=3),
            '{"id":"00ff00ff-7","at":"2023-11-14T22:13:20Z","type":"occurrence.missed","job":"j","run":"r",'
            '"state":"missed","reason":"down","scheduled_for":"1970-01-01T00:00:00Z","until":"2023-11-14T22:13:20Z",'
            '"count":3}',
        ),
        (
            Event(events.RUN_OUTPUT, NOW, "j", "r", attempt=1, size=17),
            '{"id":"00ff00ff-7","at":"2023-11-14T22:13:20Z","type":"run.output","job":"j","run":"r","attempt":1,'
            '"size":17}',
        ),
    ],
)
def test_what_does_not_apply_is_left_out(event: Event, text: str) -> None:
    assert event_json(event_id("00ff00ff", 7), event).decode() == text


@pytest.mark.parametrize(
    ("identifier", "number"),
    [
        ("00ff00ff-0", 0),
        ("00ff00ff-123456789", 123_456_789),
        ("00ff00fe-1", None),
        ("00FF00FF-1", None),
        ("00ff00ff-01", None),
        ("00ff00ff-+1", None),
        ("00ff00ff--1", None),
        ("00ff00ff-١", None),
        ("00ff00ff-1\n", None),
        ("", None),
    ],
)
def test_only_ids_of_this_start_have_a_number(identifier: str, number: int | None) -> None:
    assert number_in(identifier, "00ff00ff") == number
