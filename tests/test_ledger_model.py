"""Random decisions on one record, one after another: whatever comes, every occurrence is accounted for."""

from collections import Counter

from hypothesis import settings
from hypothesis.stateful import invariant
from random_decisions import Decisions

from kala import ledger
from kala.job import unpacked
from kala.states import COUNTED, OPEN, State, Trigger

EXPLORED = settings(max_examples=60, stateful_step_count=40, deadline=None)
ASKED_FOR = {ledger.CANCELLED, ledger.REPLACED}


class OneJob(Decisions):
    @invariant()
    def every_occurrence_is_accounted_for(self) -> None:
        record = self.record
        named = self.past + self.era.named(record.last_due)
        now_open = [moment for run in record.open for moment in self.occurrences(run)]
        in_gap = self.occurrences(record.gap) if record.gap is not None else []
        assert Counter(named) == Counter(self.in_past + now_open + in_gap)

    @invariant()
    def the_cursor_follows_what_has_passed(self) -> None:
        record, era = self.record, self.era
        if record.deleted is not None or record.is_child:
            assert record.cursor is None
        elif record.last_due is None:
            assert record.cursor == era.first
        elif record.remaining == 0 or not era.job.schedule:
            assert record.cursor is None
        else:
            assert record.cursor == ledger.plan_of(era.job).next_after(record.last_due)

    @invariant()
    def what_remains_is_what_was_not_claimed(self) -> None:
        record, era = self.record, self.era
        claims = sum(
            run.trigger in COUNTED and self.run_eras.get(run.id) is era and run.until is None
            for run in (*record.open, *self.ended)
        )
        if record.deleted is not None:
            assert record.remaining == 0
        elif era.claims is None:
            assert record.remaining is None
        else:
            assert record.remaining is not None
            assert 0 <= record.remaining == era.claims - claims

    @invariant()
    def runs_are_where_they_belong(self) -> None:
        record = self.record
        ids = [run.id for run in record.open] + ([record.gap.id] if record.gap is not None else [])
        assert len(set(ids)) == len(ids)
        assert not self.history.keys() & ids
        waiting = [run for run in record.open if run.state is State.WAITING]
        assert all(run.state in OPEN for run in record.open)
        assert not any(run.cancel for run in waiting)
        assert all(entry.to for entry in record.outbox)
        if record.disabled or record.deleted is not None:
            assert not waiting
        if record.deleted is not None:
            assert not record.outbox
            assert record.open or record.gap is None
        if not self.beside:
            assert len(record.open) - len(waiting) <= 1
            assert sum(run.reason == "overlap" and run.trigger is Trigger.SCHEDULE for run in waiting) <= 1

    @invariant()
    def nothing_is_stuck(self) -> None:
        """What waits gets its turn: there is a run that is on, a delivery, or one whose turn it is."""
        record = self.record
        on = any(run.state is not State.WAITING for run in record.open)
        assert not record.open or on or record.outbox or ledger.next_up(record)

    @invariant()
    def counters_agree_with_the_history(self) -> None:
        record = self.record
        attempts = [attempt.state for run in (*record.open, *self.ended) for attempt in run.attempts]
        lost = (State.CANCELLED, State.LOST)
        cut_off = sum(run.state in lost and run.reason not in ASKED_FOR for run in self.ended)
        assert record.finished == len(self.ended)
        assert record.successes == attempts.count(State.SUCCEEDED)
        assert record.errors == attempts.count(State.FAILED) + attempts.count(State.TIMED_OUT) + cut_off
        states = [(run.state, run.trigger, run.retries) for run in self.ended[-20:]]
        assert [(one.state, one.trigger, one.retries) for one in unpacked(record.results)] == states

    @invariant()
    def done_is_done(self) -> None:
        record = self.record
        if record.is_child:
            assert record.is_done == bool(self.ended)
        else:
            assert record.is_done == (record.cursor is None and not record.open)


TestOneJob = OneJob.TestCase
TestOneJob.settings = EXPLORED
