"""The checks of faults are proved: drivers that stand faults badly, on purpose, are caught by them."""

import time
from collections.abc import Iterator, Sequence

import pytest

from kala.drivers.contract import Conflict, Element, Stored
from kala.drivers.memory import MemoryDriver
from kala.errors import KalaError, StoreRefused, StoreUnavailable
from kala.job import replace

from .conformance import FAULT_CHECKS, FaultCheck, faults
from .pretended import PretendedDatabase, PretendedDriver

Answers = list[Conflict | None]


class RepeatsWithoutLooking(PretendedDriver):
    """What it wrote itself is a conflict the second time."""

    def commit(self, batch: Sequence[Element]) -> Answers:
        try:
            return super().commit(batch)
        except StoreUnavailable:
            currents = [self.ask().get(element.kind, element.key) for element in batch]
            return [
                super(RepeatsWithoutLooking, self).commit([element])[0]
                if element.expected == (0 if current is None else current.revision)
                else Conflict(current)
                for element, current in zip(batch, currents, strict=True)
            ]


class WritesTheRecordFirst(PretendedDriver):
    """Its history comes in a transaction of its own."""

    def send(self, memory: MemoryDriver, batch: Sequence[Element]) -> Answers:
        through = self.at.through
        if through is not None and through < len(batch) and not self.direct:
            memory.commit([replace(batch[through], runs=(), outputs=())])
        return super().send(memory, batch)


class WritesTheHistoryFirst(PretendedDriver):
    def send(self, memory: MemoryDriver, batch: Sequence[Element]) -> Answers:
        through = self.at.through
        if through is not None and through < len(batch) and not self.direct:
            for run in batch[through].runs:
                memory._append(run)
        return super().send(memory, batch)


class TakesALostAnswerForDone(PretendedDriver):
    def send(self, memory: MemoryDriver, batch: Sequence[Element]) -> Answers:
        try:
            return super().send(memory, batch)
        except StoreUnavailable:
            return [None] * len(batch)


class TakesARefusalForDone(PretendedDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        try:
            return super().commit(batch)
        except StoreUnavailable as error:
            if "room" in str(error) or "takes no writes" in str(error):
                return [None] * len(batch)
            raise


class AnswersBeforeItIsDurable(PretendedDriver):
    """It writes a batch with the next one."""

    waiting: Sequence[Element] = ()

    def ask(self, batch: Sequence[Element] = ()) -> MemoryDriver:
        memory = super().ask(batch)
        memory.commit(self.waiting)
        self.waiting = ()
        return memory

    def commit(self, batch: Sequence[Element]) -> Answers:
        self.ask()
        self.waiting = batch
        return [None] * len(batch)

    def broken(self, fault: str) -> StoreUnavailable:
        self.waiting = ()
        return super().broken(fault)


class WaitsForEver(PretendedDriver):
    """Nearly: this is a test."""

    def wait(self) -> None:
        time.sleep(PretendedDatabase.timeout + PretendedDatabase.slack + 0.1)


class ForcesWhatIsLate(PretendedDriver):
    def arrive(self, batch: Sequence[Element]) -> None:
        for element in batch:
            current = self.at.memory.get(element.kind, element.key)
            self.at.memory.commit([replace(element, expected=0 if current is None else current.revision)])


class EndsACutLoad(PretendedDriver):
    def load(self, kind: str) -> Iterator[Stored]:
        try:
            yield from super().load(kind)
        except StoreUnavailable:
            return


class NeverFindsBack(PretendedDriver):
    lost = False

    def ask(self, batch: Sequence[Element] = ()) -> MemoryDriver:
        if self.lost:
            raise self.broken("it was lost")
        return super().ask(batch)

    def broken(self, fault: str) -> StoreUnavailable:
        self.lost = True
        return super().broken(fault)


class FailsOnceForEachConnection(PretendedDriver):
    """Of three."""

    stale = 0

    def ask(self, batch: Sequence[Element] = ()) -> MemoryDriver:
        if 0 <= self.connection < self.at.epoch:
            self.stale = 3
        if self.stale:
            self.stale -= 1
            raise self.broken("the connection broke")
        return super().ask(batch)


class LetsTheLibrarysErrorThrough(PretendedDriver):
    def ask(self, batch: Sequence[Element] = ()) -> MemoryDriver:
        try:
            return super().ask(batch)
        except StoreUnavailable as error:
            raise OSError(str(error)) from None


class IsRefusedWhereNobodyAnswers(PretendedDriver):
    def open(self) -> None:
        try:
            super().open()
        except StoreUnavailable as error:
            raise StoreRefused(str(error)) from None


class SaysThePassword(PretendedDriver):
    def ask(self, batch: Sequence[Element] = ()) -> MemoryDriver:
        try:
            return super().ask(batch)
        except StoreRefused:
            raise StoreRefused(f"{self.place}: the password {self.password!r} is wrong") from None


class SaysNothingOfThePassword(PretendedDriver):
    def ask(self, batch: Sequence[Element] = ()) -> MemoryDriver:
        try:
            return super().ask(batch)
        except StoreRefused:
            raise StoreRefused(f"{self.place}: it was refused") from None


class WritesToAnyDatabase(PretendedDriver):
    def ask(self, batch: Sequence[Element] = ()) -> MemoryDriver:
        memory = super().ask(batch)
        self.database = memory._database
        return memory


CAUGHT: list[tuple[type[PretendedDriver], FaultCheck]] = [
    (NeverFindsBack, faults.check_a_server_that_was_stopped_is_found_again),
    (LetsTheLibrarysErrorThrough, faults.check_a_server_that_was_stopped_is_found_again),
    (AnswersBeforeItIsDurable, faults.check_what_was_answered_outlives_a_kill),
    (RepeatsWithoutLooking, faults.check_a_commit_that_is_cut_is_repeated_to_the_same_end),
    (WritesTheRecordFirst, faults.check_a_commit_that_is_cut_is_repeated_to_the_same_end),
    (WritesTheHistoryFirst, faults.check_a_commit_that_is_cut_is_repeated_to_the_same_end),
    (TakesALostAnswerForDone, faults.check_a_commit_that_is_cut_is_repeated_to_the_same_end),
    (WaitsForEver, faults.check_a_silent_server_is_given_up_in_time),
    (ForcesWhatIsLate, faults.check_a_silent_server_is_given_up_in_time),
    (FailsOnceForEachConnection, faults.check_connections_that_broke_while_nobody_asked),
    (LetsTheLibrarysErrorThrough, faults.check_a_way_that_is_refused),
    (EndsACutLoad, faults.check_a_load_that_is_cut_is_not_taken_for_a_short_one),
    (IsRefusedWhereNobodyAnswers, faults.check_opening_waits_for_no_server),
    (TakesARefusalForDone, faults.check_a_server_that_takes_no_writes),
    (TakesARefusalForDone, faults.check_a_server_without_room),
    (SaysThePassword, faults.check_a_password_that_is_wrong_from_now_on),
    (SaysNothingOfThePassword, faults.check_a_password_that_is_wrong_from_now_on),
    (WritesToAnyDatabase, faults.check_a_database_that_was_emptied_is_not_written),
]


@pytest.mark.parametrize(
    ("broken", "check"), [pytest.param(*pair, id=f"{pair[0].__name__}-{pair[1].__name__}") for pair in CAUGHT]
)
def test_a_broken_driver_is_caught(broken: type[PretendedDriver], check: FaultCheck) -> None:
    with pytest.raises((AssertionError, KalaError, OSError)):
        check(PretendedDatabase(broken))


def test_every_check_has_caught_one() -> None:
    assert {check for _, check in CAUGHT} == set(FAULT_CHECKS)
