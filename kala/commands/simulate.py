"""`kala simulate`: what would run in a period, and what would not."""

import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import click

from kala.commands.exits import FAILED
from kala.commands.session import Session, client_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kala.client.records import Known
    from kala.clock import Moment
    from kala.simulation import Period, Span
    from kala.simulation.pretence import Cast

LIMIT = 20
SPAN = "FROM/TO"


@client_command(None, "simulate")
@click.argument("paths", metavar="[FOLDER|FILE]…", nargs=-1)
@click.option("--from", "begin", metavar="MOMENT", help="When it begins: RFC 3339, or a date. [now]")
@click.option("--to", "end", metavar="MOMENT", help="When it ends.")
@click.option("--for", "length", metavar="DURATION", help="Or how long it lasts, such as P1Y. [P30D]")
@click.option(
    "--down", multiple=True, metavar=SPAN, help="No daemon is up in this time; repeatable. TO may be a duration."
)
@click.option("--paused", multiple=True, metavar=SPAN, help="It is paused in this time; repeatable.")
@click.option(
    "--duration",
    "durations",
    multiple=True,
    metavar="[JOB=]DURATION",
    help="How long runs take, of all jobs or of one; repeatable. [as the latest did, or else PT1S]",
)
@click.option(
    "--fail", "failing", multiple=True, metavar="JOB[=N]", help="Attempts of it fail, or each Nth; repeatable."
)
@click.option("--max-runs", type=click.IntRange(1), metavar="N", help="Runs that may be on at once. [no limit]")
@click.option("--limit", type=click.IntRange(0), default=LIMIT, show_default=True, help="Name at most so many things.")
@click.option("--strict", is_flag=True, help="Exit with 1 when something was missed.")
def simulate(
    session: Session,
    paths: tuple[str, ...],
    begin: str | None,
    end: str | None,
    length: str | None,
    down: tuple[str, ...],
    paused: tuple[str, ...],
    durations: tuple[str, ...],
    failing: tuple[str, ...],
    max_runs: int | None,
    limit: int,
    strict: bool,
) -> None:
    """Show what would run in a period, what would be late, and what would not run, and why.

    The jobs are those of files, as `kala apply` takes them, or else those of the daemon at --url. The scheduler is the
    daemon's own, on a clock that jumps from moment to moment; attempts are pretended, nothing is started. Jobs that
    began before the period have run until then. A daemon that is down was killed: what was on is lost, or run again.

    With --json a line for each run, and for each range of occurrences that did not run, and at last their summary.
    """
    from kala.client import records
    from kala.commands.simulatetext import Report
    from kala.simulation import NO_LIMIT
    from kala.simulation.shares import simulate_shared

    period = period_of(begin, end, length, down, paused)
    at = period.whole.begin
    known = records.of_files(paths, at) if paths else records.of_daemon(session.server.jobs(), at)
    report = Report([one.record for one in known], period.whole, limit, sys.stdout.buffer if session.as_json else None)
    cast = cast_of(known, durations, failing)
    waiting = simulate_shared(report.records, period, cast, report.add, max_runs=max_runs or NO_LIMIT)
    if session.as_json:
        report.print_summary(len(waiting))
    else:
        report.print_text(session, len(waiting))
    if strict and report.tally.total.missed:
        sys.exit(FAILED)


def period_of(
    begin: str | None, end: str | None, length: str | None, down: "Sequence[str]", paused: "Sequence[str]"
) -> "Period":
    from kala.clock import Clock
    from kala.simulation import Period, Span

    if end is not None and length is not None:
        raise click.UsageError("--to and --for are two ways to say the same: give one of them")
    start = moment("--from", begin) if begin is not None else Clock().now()
    stop = moment("--to", end) if end is not None else later("--for", start, length or "P30D")
    if stop <= start:
        raise click.UsageError("the period ends before it has begun")
    whole = Span(start, stop)
    return Period(whole, spans("--down", down, whole), spans("--paused", paused, whole))


def spans(flag: str, texts: "Iterable[str]", whole: "Span") -> "list[Span]":
    from kala.simulation import Span

    found = []
    for text in texts:
        first, slash, last = text.partition("/")
        if not slash:
            raise click.UsageError(f"{flag}: {text!r} is not of the form {SPAN}")
        begin = moment(flag, first)
        end = later(flag, begin, last) if last.startswith("P") else moment(flag, last)
        if not whole.begin <= begin < end <= whole.end:
            raise click.UsageError(f"{flag}: {text!r} does not lie within the period, or ends before it has begun")
        found.append(Span(begin, end))
    found.sort(key=lambda one: one.begin)
    for one, other in pairwise(found):
        if other.begin <= one.end:
            raise click.UsageError(f"{flag}: two of them meet")
    return found


def moment(flag: str, text: str) -> "Moment":
    """RFC 3339, or a date; by the local clock where it has no offset."""
    from datetime import datetime

    from kala.clock import from_datetime

    try:
        return from_datetime(datetime.fromisoformat(text).astimezone())
    except (ValueError, OverflowError):
        raise click.UsageError(
            f"{flag}: {text!r} is neither a moment, such as 2030-01-31T08:00:00Z, nor a date"
        ) from None


def later(flag: str, begin: "Moment", text: str) -> "Moment":
    """So much later by the calendar."""
    from kala.clock import DAY
    from kala.errors import ScheduleError
    from kala.schedule.durations import LATEST, months_later, read_interval

    try:
        months, days, time = read_interval(text)
    except ScheduleError as error:
        raise click.UsageError(f"{flag}: {error}") from None
    end = months_later(begin, months)
    if end is None or end + days * DAY + time > LATEST:
        raise click.UsageError(f"{flag}: {text!r} goes beyond the year 9999")
    return end + days * DAY + time


def cast_of(known: "Sequence[Known]", durations: "Iterable[str]", failing: "Iterable[str]") -> "Cast":
    """What attempts do, by the flags, or else as the latest runs did."""
    from kala import schedule
    from kala.errors import ScheduleError
    from kala.simulation.pretence import Acting, Cast

    otherwise = Acting()
    lasting = {one.record.id: one.average for one in known if one.average is not None}
    for text in durations:
        name, _, value = text.rpartition("=")
        try:
            length = schedule.duration(value)
        except ScheduleError as error:
            raise click.UsageError(f"--duration: {error}") from None
        if name:
            lasting |= dict.fromkeys(ids_of("--duration", name, known), length)
        else:
            otherwise = Acting(length)
            lasting = {}
    acting = {one: Acting(length) for one, length in lasting.items()}
    for text in failing:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal() or int(number) < 1:
            name, number = text, "1"
        for one in ids_of("--fail", name, known):
            acting[one] = Acting(acting.get(one, otherwise).duration, int(number))
    return Cast(acting, otherwise)


def ids_of(flag: str, wanted: str, known: "Iterable[Known]") -> list[str]:
    """The jobs with this id or name."""
    found = [one.record.id for one in known if wanted in (one.record.id, one.record.job.name)]
    if not found:
        raise click.UsageError(f"{flag}: there is no job {wanted!r}")
    return found
