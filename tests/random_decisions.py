"""Random decisions on one record, one after another, and what each of them comes to by itself."""

from collections.abc import Callable
from typing import Any

import pytest
from definitions import DEFINITIONS, Era
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from records import T0, Jobs, at, decided

from kala import ledger, register, schedule
from kala.clock import SECOND, Moment
from kala.errors import Stale
from kala.job import Attempt, Delivery, Job, Record, Run, replace
from kala.ledger import Change
from kala.states import COUNTED, ENDED, NOT_RUN, State, Trigger

OTHERS = [Record("F", Job("f"), 0), Record("P", Job("p"), 0), Record("Q", Job("q"), 0)]


class Decisions(RuleBasedStateMachine):
    """One job, and all that may happen to it. `test_ledger_model.py` says what is so at any time."""

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
    @rule(slot=st.booleans(), punctual=st.booleans(), because=st.sampled_from([ledger.DOWN, ledger.PAUSED]))
    def tick(self, slot: bool, punctual: bool, because: str) -> None:
        before, cursor, due = self.record, self.record.cursor, ledger.claimable(self.record)
        assert cursor is not None
        assert due is not None
        now = due if punctual else self.now  # as if it had been looked at in time
        more: dict[str, Any] = {"version": before.version, "cursor": cursor, "now": now, "run_id": self.new_id()}
        more |= {"instance": self.instance, "slot": slot, "because": because}
        with pytest.raises(Stale):
            ledger.claim(before, **(more | {"now": due - 1}))
        change = decided(ledger.claim, before, **more)
        self.apply(change, lambda record: ledger.claim(record, **more))
        came = [run for run in self.record.open if ledger.find(before, run.id) is None]
        assert sum(run.state is State.CLAIMED for run in came) <= slot
        assert change.answer is None or change.answer in came
        assert all(run is change.answer for run in came if run.state is State.CLAIMED)
        if ledger.overlap_of(self.record) == "replace":
            self.only_the_latest_goes_on(before)

    def only_the_latest_goes_on(self, before: Record) -> None:
        """An occurrence came under `overlap: replace`, or several, unless nothing of them is made good."""
        counted = [run for run in self.record.open if run.trigger in COUNTED]
        if all(ledger.find(before, run.id) is not None for run in counted):
            return
        assert sum(run.state is State.WAITING for run in counted) <= 1
        for run in self.record.open:
            if ledger.find(before, run.id) is not None:
                assert run.cancel or (run.state is State.WAITING and not run.attempts)

    @precondition(lambda self: not self.record.disabled and self.record.deleted is None)
    @rule(slot=st.booleans())
    def start(self, slot: bool) -> None:
        more: dict[str, Any] = {"now": self.now, "run_id": self.new_id(), "instance": self.instance, "slot": slot}
        self.apply(decided(ledger.start, self.record, **more))
        assert ledger.start(self.record, **more).record is self.record

    @precondition(lambda self: self.record.deleted is None)
    @rule(trigger=st.sampled_from([Trigger.PARENT, Trigger.FAILURE]), parent=st.sampled_from(["P", "Q"]))
    def deliver(self, trigger: Trigger, parent: str) -> None:
        delivery = Delivery(self.new_id(), trigger, ("J",), self.instance)
        more: dict[str, Any] = {"delivery": delivery, "parent": parent, "now": self.now}
        change = decided(ledger.deliver, self.record, **more)
        self.apply(change)
        assert set(self.record.arrivals or {}) <= {"P", "Q"}
        if self.record.job.parents_mode == "any" or trigger is Trigger.FAILURE:
            assert change.answer is not None or self.record.disabled
        if not self.record.disabled:
            assert ledger.deliver(self.record, **more).record is self.record

    @precondition(lambda self: self.record.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.record.open))
        more: dict[str, Any] = {"run_id": run.id, "instance": self.instance, "now": self.now}
        change = decided(ledger.cancel, self.record, **more)
        self.apply(change)
        assert change.answer is not None
        if run.state is State.WAITING:
            assert (change.answer.state, change.answer.reason) == (State.CANCELLED, ledger.CANCELLED)
            with pytest.raises(Stale):
                ledger.cancel(self.record, **more)
        else:
            assert change.answer.cancel == (run.cancel or ledger.CANCELLED)
            assert ledger.cancel(self.record, **more).record == self.record

    @precondition(lambda self: ledger.next_up(self.record))
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(list(ledger.next_up(self.record))))
        more: dict[str, Any] = {"run_id": run.id, "instance": self.instance, "now": self.now}
        if run.not_before is not None and run.not_before > self.now:
            with pytest.raises(Stale):
                ledger.begin(self.record, **more)
            return
        change = decided(ledger.begin, self.record, **more)
        self.apply(change, lambda record: ledger.begin(record, **more))
        epsilon, failed = self.record.job.epsilon, (State.FAILED, State.TIMED_OUT)
        if (
            run.attempts
            and run.attempts[-1].state in failed
            and epsilon
            and self.now - run.expected > schedule.duration(epsilon)
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
        self.apply(decided(ledger.end_attempt, self.record, **more))
        still = ledger.find(self.record, run.id)
        assert not run.cancel or still is None
        for instance in (self.instance, "of another"):  # an end that is recorded is nothing new, or too late
            again = more | {"instance": instance}
            if still is not None:
                assert ledger.end_attempt(self.record, **again) == Change(self.record, answer=still)
            else:
                with pytest.raises(Stale):
                    ledger.end_attempt(self.record, **again)

    @precondition(lambda self: any(run.state is State.CLAIMED for run in self.record.open))
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run for run in self.record.open if run.state is State.CLAIMED]))
        more: dict[str, Any] = {"run_id": run.id, "instance": self.instance, "reason": "paused", "now": self.now}
        self.apply(decided(ledger.put_back, self.record, **more), lambda record: ledger.put_back(record, **more))
        assert not run.cancel or ledger.find(self.record, run.id) is None

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
        elif before.job.schedule.startswith("*/2 ") and self.number % 2:
            definition = replace(before.job, time_zone="" if before.job.time_zone else "Asia/Kathmandu")
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
        if register.timing(before.job) != register.timing(definition):
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
