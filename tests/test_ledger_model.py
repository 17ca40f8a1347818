"""Random decisions on one record, one after another: whatever comes, every occurrence is accounted for."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from definitions import DEFINITIONS, Era
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from records import T0, Jobs, at, decided

from kala import ledger, register, schedule
from kala.clock import SECOND, Moment
from kala.errors import Stale
from kala.job import Attempt, Delivery, Job, Record, Run, replace, unpacked
from kala.ledger import Change
from kala.states import COUNTED, ENDED, NOT_RUN, OPEN, State, Trigger

EXPLORED = settings(max_examples=60, stateful_step_count=40, deadline=None)

OTHERS = [Record("F", Job("f"), 0), Record("P", Job("p"), 0)]


class OneJob(RuleBasedStateMachine):
    record: Record

    @initialize(definition=DEFINITIONS, disabled=st.booleans())
    def create(self, definition: Job, disabled: bool) -> None:
        self.now, self.number, self.instance = T0 - SECOND, 0, "i0"
        made = register.create(definition, Jobs(*OTHERS), job_id="J", now=self.now, disabled=disabled)
        self.record = made.record
        self.history: dict[str, Run] = {}
        self.ended: list[Run] = []
        self.era = Era(self.record)
        self.past: list[Moment] = []  # of the eras before
        self.in_past: list[Moment] = []  # what was accounted for in their ranges
        self.run_eras: dict[str, Era] = {}
        self.beside = ledger.overlap_of(self.record) == "allow"

    def apply(self, change: Change, again: Callable[[Record], Change] | None = None) -> None:
        for row in change.rows:
            assert row.id not in self.history, "the history keeps the first row of an id: this one would be lost"
            assert row.state in ENDED | NOT_RUN
            assert row.ended is not None
            self.history[row.id] = row
            if row.state in ENDED:
                self.ended.append(row)
            for moment in self.occurrences(row):
                self.in_past.append(moment)
        self.record = replace(change.record, revision=self.record.revision + 1)
        for run in self.record.open:
            self.run_eras.setdefault(run.id, self.era)
        if again is not None:
            with pytest.raises(Stale):
                again(self.record)

    def occurrences(self, run: Run) -> list[Moment]:
        """The occurrences that a run or range stands for."""
        if run.trigger not in COUNTED:
            return []
        if run.until is None:
            return [run.scheduled_for]
        assert run.state in NOT_RUN
        covered = self.era.between(run.scheduled_for, run.until)
        assert len(covered) == run.count
        return covered

    def new_id(self) -> str:
        self.number += 1
        return f"run{self.number}"

    # What happens.

    @rule(seconds=st.integers(0, 30) | st.integers(31, 400))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @precondition(lambda self: (due := ledger.due(self.record)) is not None and due <= self.now)
    @rule(slot=st.booleans(), punctual=st.booleans())
    def tick(self, slot: bool, punctual: bool) -> None:
        cursor, version = self.record.cursor, self.record.version
        assert cursor is not None
        now = cursor if punctual else self.now  # as if it had been looked at in time
        more: dict[str, Any] = {"version": version, "cursor": cursor, "now": now, "run_id": self.new_id()}
        more |= {"instance": self.instance, "slot": slot}
        self.apply(decided(ledger.claim, self.record, **more), lambda record: ledger.claim(record, **more))

    @precondition(lambda self: not self.record.disabled and self.record.deleted is None)
    @rule(slot=st.booleans())
    def start(self, slot: bool) -> None:
        more: dict[str, Any] = {"now": self.now, "run_id": self.new_id(), "instance": self.instance, "slot": slot}
        self.apply(decided(ledger.start, self.record, **more))
        assert ledger.start(self.record, **more).record is self.record

    @precondition(lambda self: self.record.deleted is None)
    @rule(trigger=st.sampled_from([Trigger.PARENT, Trigger.FAILURE]))
    def deliver(self, trigger: Trigger) -> None:
        delivery = Delivery(self.new_id(), trigger, ("J",), self.instance)
        self.apply(decided(ledger.deliver, self.record, delivery=delivery, parent="P", now=self.now))
        if not self.record.disabled:
            assert ledger.deliver(self.record, delivery=delivery, parent="P", now=self.now).record is self.record

    @precondition(lambda self: ledger.next_up(self.record))
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(list(ledger.next_up(self.record))))
        more: dict[str, Any] = {"run_id": run.id, "instance": self.instance, "now": self.now}
        change = decided(ledger.begin, self.record, **more)
        self.apply(change, lambda record: ledger.begin(record, **more))
        epsilon, failed = self.record.job.epsilon, (State.FAILED, State.TIMED_OUT)
        if (
            run.attempts
            and run.attempts[-1].state in failed
            and epsilon
            and self.now - run.scheduled_for > schedule.duration(epsilon)
        ):
            assert ledger.find(self.record, run.id) is None
            assert change.answer is not None
            assert change.answer.state in failed

    @precondition(lambda self: any(run.state is State.CLAIMED for run in self.record.open))
    @rule(
        data=st.data(),
        state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED]),
        children=st.sampled_from([(), ("K",), ("K", "L")]),
    )
    def end(self, data: st.DataObject, state: State, children: tuple[str, ...]) -> None:
        run = data.draw(st.sampled_from([run for run in self.record.open if run.state is State.CLAIMED]))
        assert run.instance == self.instance
        ended = Attempt(len(run.attempts) + 1, self.now, self.now, state)
        more: dict[str, Any] = {"run_id": run.id, "attempt": ended, "output": b"", "now": self.now}
        more |= {"children": children, "instance": self.instance}
        self.apply(decided(ledger.end_attempt, self.record, **more), lambda record: ledger.end_attempt(record, **more))
        with pytest.raises(Stale):
            ledger.end_attempt(self.record, **(more | {"instance": "of another"}))

    @precondition(lambda self: any(run.state is State.CLAIMED for run in self.record.open))
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run for run in self.record.open if run.state is State.CLAIMED]))
        more: dict[str, Any] = {"run_id": run.id, "instance": self.instance, "reason": "limit", "now": self.now}
        self.apply(decided(ledger.put_back, self.record, **more), lambda record: ledger.put_back(record, **more))

    @precondition(lambda self: self.record.outbox)
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.record.outbox))
        more = {"run_id": entry.run, "job_id": entry.to[0]}
        self.apply(decided(ledger.advance, self.record, **more), lambda record: ledger.advance(record, **more))

    @rule()
    def die(self) -> None:
        """The daemon is killed, and the next takes over."""
        self.instance = f"i{self.new_id()}"
        more: dict[str, Any] = {"alive": frozenset({self.instance}), "instance": self.instance, "now": self.now}
        try:
            change = decided(ledger.take_over, self.record, **more)
        except Stale:
            assert not self.record.outbox
            assert all(run.state is State.WAITING for run in self.record.open)
        else:
            self.apply(change, lambda record: ledger.take_over(record, **more))

    @precondition(lambda self: self.record.deleted is None)
    @rule(disabled=st.booleans())
    def set_disabled(self, disabled: bool) -> None:
        before = self.record
        more: dict[str, Any] = {"now": self.now, "instance": self.instance, "run_id": self.new_id()}
        change = decided(register.set_disabled, before, disabled, **more)
        self.apply(change)
        assert (self.record.version - before.version) == (disabled != before.disabled)
        assert register.set_disabled(self.record, disabled, **more).record is self.record

    @precondition(lambda self: self.record.deleted is None)
    @rule(definition=DEFINITIONS, same_schedule=st.booleans())
    def edit(self, definition: Job, same_schedule: bool) -> None:
        before = self.record
        if same_schedule:
            definition = replace(definition, schedule=before.job.schedule, parent_jobs=before.job.parent_jobs)
        change = decided(
            register.edit,
            before,
            definition,
            Jobs(*OTHERS, before),
            disabled=before.disabled,
            expected=str(before.version),
            now=self.now,
            instance=self.instance,
            run_id=self.new_id(),
        )
        self.apply(change)
        kept = (before.job.schedule, before.job.parent_jobs) == (definition.schedule, definition.parent_jobs)
        if not kept:
            passed = before.cursor is not None and before.cursor <= self.now
            self.past += self.era.named(self.now if passed else before.last_due)
            self.era = Era(self.record)
            assert self.record.cursor is None or self.record.cursor >= self.now
        assert self.record.version == before.version + 1
        self.beside = self.beside or ledger.overlap_of(self.record) == "allow"

    @precondition(lambda self: self.record.deleted is None and self.now > at(8))
    @rule()
    def delete(self) -> None:
        (change,) = register.delete("J", Jobs(self.record), self.now)
        named = self.era.named(self.record.last_due)
        self.apply(change)
        self.past += named
        self.era.first = None

    # What is so at any time.

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
        elif record.remaining == 0 or not era.text:
            assert record.cursor is None
        else:
            assert record.cursor == schedule.parse(era.text).next_after(record.last_due)

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
        cut_off = sum(run.state in (State.CANCELLED, State.LOST) for run in self.ended)
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
