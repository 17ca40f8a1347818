"""Schedules and cron expressions: read, walked along in both directions, counted, and said in words."""

from itertools import islice

from fuzzing.target import Target, must, text_of

from kala import schedule
from kala.clock import from_datetime, to_datetime
from kala.errors import ScheduleError
from kala.schedule import spoken
from kala.schedule.cron import VALUES
from kala.schedule.durations import EARLIEST, LATEST
from kala.schedule.plan import Plan

FEW = 5  # occurrences that are looked at
YEAR_2030 = 1_893_456_000_000_000
MOMENTS = (YEAR_2030, EARLIEST, LATEST, 1_711_846_800_000_000)  # and the last one when summer time began in Europe
ZONES = ("", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")
INTERVALS = (
    "R/2030-01-31T08:00:00Z/P1D",
    "R0/2030-01-31T08:00:00Z/",
    "R5/2030-01-31T08:00:00.5+02:00/P1M",
    "R/2024-03-31T02:30:00[Europe/Berlin]/P1Y2M3W4DT5H6M7S",
    "R3/2024-10-27T02:30:00/PT90M",
    "R/9999-12-31T23:59:59Z/PT0.000001S",
    "R/0001-01-01T00:00:00Z/P9998Y",
)
CRONS = (
    "0 8 * * MON-FRI",
    "*/5 0,12 1-7 JAN,JUL 5L",
    "30 2 L * *",
    "0 0 0 29 2 FRI#2",
    "@daily",
    "0 0 LW */2 *",
    "59 23 31 12 7",
)


def written(texts: tuple[str, ...]) -> list[bytes]:
    """Each text, and some further lines: its zone, and what becomes of times that the zone leaves out or repeats."""
    ways = [("shift", "first"), ("skip", "both"), ("skip", "second")]
    return [
        "\n".join([text, ZONES[place % len(ZONES)], *ways[place % len(ways)]]).encode()
        for place, text in enumerate(texts * 2)
    ]


def try_schedule(data: bytes) -> None:
    text, zone, gap, fold, *_ = [*text_of(data).split("\n"), "", "", ""]
    try:
        plan = schedule.parse.__wrapped__(text, zone, gap or "shift", fold or "first")
    except ScheduleError as error:
        must(bool(error.fault), "an error without a fault", text)
        return
    walk(plan)


def walk(plan: Plan) -> None:
    """What every plan must hold to, around some moments."""
    for moment in MOMENTS:
        ahead, back = list(islice(plan.ahead(moment), FEW)), list(islice(plan.back(moment), FEW))
        must(ahead == sorted(set(ahead)), "not in order", moment, ahead)
        must(back == sorted(set(back), reverse=True), "not in order backwards", moment, back)
        must(all(moment < at <= LATEST for at in ahead), "outside", moment, ahead)
        must(all(EARLIEST <= at <= moment for at in back), "outside backwards", moment, back)
        must(plan.next_after(moment) == (ahead[0] if ahead else None), "next_after", moment, ahead)
        if ahead:
            must(list(islice(plan.back(ahead[-1]), len(ahead))) == ahead[::-1], "not the same backwards", ahead)
            must(plan.count_between(moment, ahead[-1]) == len(ahead), "count_between", moment, ahead)
            must(plan.latest(FEW, ahead[-1], moment) == ahead, "latest", moment, ahead)
        for at in ahead + back:
            must(from_datetime(to_datetime(at)) == at, "to_datetime", at)
            plan.note(at)
            plan.local(at)
    if plan.start is not None:
        must(plan.next_after(plan.start - 1) == plan.start, "its start is no occurrence", plan.start)
        must(plan.last_before(plan.start) is None, "one before its start", plan.start)
    must(bool(spoken.in_words(plan)), "nothing to say")


WORDS = (
    "R",
    "P",
    "T",
    "PT",
    "/",
    "Z",
    "+02:00",
    "[Europe/Berlin]",
    "P1M",
    "PT1S",
    "skip",
    "both",
    "second",
    *ZONES[1:],
)
CRON_WORDS = ("*", "*/", "L", "LW", "#", "-", ",", "MON", "SUN", "JAN", "DEC", "@weekly", "@yearly", "29 2", *VALUES)

TARGETS = (
    Target("schedule", try_schedule, written(INTERVALS), WORDS, 256),
    Target("cron", try_schedule, written(CRONS), CRON_WORDS, 128),
)
