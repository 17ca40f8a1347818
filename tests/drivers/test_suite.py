"""The conformance suite is proved: drivers that break the contract on purpose are caught by it."""

import time
from collections.abc import Iterable, Iterator, Sequence

import pytest

from kala.drivers.contract import Changes, Conflict, Element, RunPage, RunQuery, Stored
from kala.drivers.memory import MemoryDriver
from kala.job import Output, Run, replace
from kala.states import NOT_RUN

from .conformance import (
    Check,
    changes,
    checks_of,
    commits,
    history,
    large,
    opening,
    pruning,
    races,
    repetition,
    values,
)
from .conformance.database import Database

Answers = list[Conflict | None]


class ForgetsTheExpectedRevision(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        currents = [self.get(element.kind, element.key) for element in batch]
        return super().commit(
            [
                replace(element, expected=0 if current is None else current.revision)
                for element, current in zip(batch, currents, strict=True)
            ]
        )


class AnswersARepetitionWithAConflict(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        currents = [self.get(element.kind, element.key) for element in batch]
        return [
            super(AnswersARepetitionWithAConflict, self).commit([element])[0]
            if (0 if current is None else current.revision) == element.expected
            else Conflict(current)
            for element, current in zip(batch, currents, strict=True)
        ]


class TakesWhatNothingHasForNothing(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        return super().commit([replace(element, expected=max(element.expected, 0)) for element in batch])


class ComparesARepetitionByItsRevisionAlone(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        answers = super().commit(batch)
        return [
            None if answer and answer.current and answer.current.revision == element.revision else answer
            for element, answer in zip(batch, answers, strict=True)
        ]


class LosesAHistoryRow(MemoryDriver):
    """The last of a batch of more than a few."""

    def commit(self, batch: Sequence[Element]) -> Answers:
        return super().commit([*batch[:-1], replace(batch[-1], runs=())] if len(batch) > 8 else batch)


class LosesTheHistoryOfADeletion(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        return super().commit([replace(each, runs=()) if each.value is None else each for each in batch])


class WritesTheHistoryOfAConflict(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        answers = super().commit(batch)
        for element in batch:
            for run in element.runs:
                self._append(run)
        return answers


class HoldsTheOthersUp(MemoryDriver):
    """One transaction for all, rolled back at the first conflict."""

    def commit(self, batch: Sequence[Element]) -> Answers:
        before = dict(self._records)
        answers = super().commit(batch)
        if any(answers):
            self._records = before
        return answers


class LooksBeforeItWrites(MemoryDriver):
    """Without a lock over both."""

    def commit(self, batch: Sequence[Element]) -> Answers:
        currents = [self.get(element.kind, element.key) for element in batch]
        time.sleep(0.001)
        answers: Answers = []
        for element, current in zip(batch, currents, strict=True):
            now = self.get(element.kind, element.key)
            seen_as = 0 if now is None else now.revision
            if element.expected != (0 if current is None else current.revision):
                answers.append(Conflict(current))
            else:
                answers += super().commit([replace(element, expected=seen_as)])
        return answers


class WritesTheRecordBeforeItsHistory(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        answers = super().commit([replace(element, runs=()) for element in batch])
        time.sleep(0.001)
        for element, answer in zip(batch, answers, strict=True):
            for run in element.runs if answer is None else ():
                self._append(run)
        return answers


class CutsAtANul(MemoryDriver):
    def get(self, kind: str, key: str) -> Stored | None:
        found = super().get(kind, key)
        return None if found is None else replace(found, value=found.value.split(b"\0")[0])


class FoldsTheCaseOfKeys(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        return super().commit([replace(element, key=element.key.lower()) for element in batch])


class TakesAnySize(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        self.max_value = 1_000_000_000
        try:
            return super().commit(batch)
        finally:
            self.max_value = MemoryDriver.max_value


class TakesAnyOutput(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        self.max_output = 1_000_000_000
        try:
            return super().commit(batch)
        finally:
            self.max_output = MemoryDriver.max_output


class CutsOutputs(MemoryDriver):
    def _append_output(self, output: Output) -> None:
        super()._append_output(replace(output, data=output.data[:65_536]))


class SplitsAnElement(MemoryDriver):
    """Over several transactions, when it has many rows."""

    def commit(self, batch: Sequence[Element]) -> Answers:
        answers: Answers = []
        for element in batch:
            first, rest = replace(element, runs=element.runs[:500]), element.runs[500:]
            answers += super().commit([first])
            time.sleep(0.3 if rest else 0)
            for run in rest if answers[-1] is None else ():
                self._append(run)
        return answers


class LeavesOutWhatIsTooMuch(MemoryDriver):
    """For one request."""

    def commit(self, batch: Sequence[Element]) -> Answers:
        room, shortened = self.max_batch_bytes, []
        for element in batch:
            outputs = []
            for output in element.outputs:
                if (room := room - len(output.data)) >= 0:
                    outputs.append(output)
            shortened.append(replace(element, outputs=outputs))
        return super().commit(shortened)


class WritesAHalfOfWhatItMay(MemoryDriver):
    def commit(self, batch: Sequence[Element]) -> Answers:
        room, taken = self.max_batch_bytes // 2, 0
        for element in batch:
            if (room := room - len(element.value or b"")) < 0:
                break
            taken += 1
        return super().commit(batch[:taken]) + [None] * (len(batch) - taken)


class SaysItsPassword(MemoryDriver):
    place = "user:right@host:1"


class RepeatsARowOnTheNextPage(MemoryDriver):
    def runs(self, query: RunQuery) -> RunPage:
        return super().runs(query if query.after is None else replace(query, after=str(int(query.after) + 1)))


class OrdersByTheScheduledMoment(MemoryDriver):
    def runs(self, query: RunQuery) -> RunPage:
        page = super().runs(query)
        return RunPage(sorted(page.runs, key=lambda run: -run.scheduled_for), page.next)


class IncludesUntil(MemoryDriver):
    def runs(self, query: RunQuery) -> RunPage:
        return super().runs(query if query.until is None else replace(query, until=query.until + 1))


class OverwritesAKnownRun(MemoryDriver):
    def _append(self, run: Run) -> None:
        super()._append(run)
        self._runs[self._numbers[run.id]] = run


class OrdersOutputsAsTheyCame(MemoryDriver):
    def output(self, run_id: str) -> list[Output]:
        return list(self._outputs.get(run_id, {}).values())


class PrunesRangesWithRuns(MemoryDriver):
    def _beyond(self, job: str, keep: int) -> Iterator[int]:
        yield from list(self._of_job.get(job, {}))[::-1][keep:]


class PrunesByTheMomentOfCreation(MemoryDriver):
    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: int | None) -> int:
        if older_than is None:
            return super().prune(jobs, keep=keep, older_than=None)
        old = [number for number, run in self._runs.items() if run.created < older_than]
        return super().prune(jobs, keep=keep, older_than=None) + self._remove(old)


class KeepsOutputsOfWhatIsPruned(MemoryDriver):
    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: int | None) -> int:
        outputs = {run_id: dict(of_run) for run_id, of_run in self._outputs.items()}
        try:
            return super().prune(jobs, keep=keep, older_than=older_than)
        finally:
            self._outputs = outputs


class CountsARepetitionAgain(MemoryDriver):
    def _append_output(self, output: Output) -> None:
        known = (output.run_id, output.attempt) in self._printed
        super()._append_output(output)
        self._total += len(output.data) if known else 0


class CountsWhatWasPrinted(MemoryDriver):
    """Not what is kept of it."""

    def _append_output(self, output: Output) -> None:
        super()._append_output(output)
        self._total += output.size - len(output.data)


class CountsWhatIsGone(MemoryDriver):
    def _remove(self, numbers: Iterable[int]) -> int:
        total = self._total
        try:
            return super()._remove(numbers)
        finally:
            self._total = total


class TrimsTheLatest(MemoryDriver):
    def trim_outputs(self, limit: int) -> int:
        self._printed = dict(reversed(self._printed.items()))
        return super().trim_outputs(limit)


class TrimsByTheRunsId(MemoryDriver):
    def trim_outputs(self, limit: int) -> int:
        self._printed = dict(sorted(self._printed.items()))
        return super().trim_outputs(limit)


class TrimsBelowTheLimit(MemoryDriver):
    def trim_outputs(self, limit: int) -> int:
        return super().trim_outputs(limit - 1) if self._total == limit else super().trim_outputs(limit)


class TrimsTheRunAsWell(MemoryDriver):
    def trim_outputs(self, limit: int) -> int:
        before = set(self._outputs)
        dropped = super().trim_outputs(limit)
        self._remove([self._numbers[run_id] for run_id in before - set(self._outputs)])
        return dropped


class ForgetsRunsAlone(MemoryDriver):
    def forget(self, jobs: Sequence[str]) -> int:
        numbers = [number for job in set(jobs) for number in self._of_job.get(job, {})]
        return self._remove([number for number in numbers if self._runs[number].state not in NOT_RUN])


class OmitsDeletions(MemoryDriver):
    def changes(self, since: str) -> Changes:
        return replace(super().changes(since), deleted=[])


class TakesTheTokenTooLate(MemoryDriver):
    """What is written between reading and taking it is omitted."""

    def changes(self, since: str) -> Changes:
        told = super().changes(since)
        time.sleep(0.001)
        return told if told.reset else replace(told, token=super().changes("").token)


class TakesAnyToken(MemoryDriver):
    def changes(self, since: str) -> Changes:
        return replace(super().changes(since), reset=since == "")


class ForgetsAtClosing(MemoryDriver):
    def close(self) -> None:
        self._records.clear()


class LooksBeforeItMakesItsTables(MemoryDriver):
    """And makes them though another has since."""

    _made = 0

    def open(self) -> None:
        made = self._made
        time.sleep(0.01)
        assert made == self._made, "the tables are there already"
        self._made += 1


class CountsSeconds(MemoryDriver):
    def now(self) -> int:
        return int(time.time())


class LoadsUnderALock(MemoryDriver):
    """A reader that has not finished blocks whoever writes; a writer that cannot wait is refused."""

    _loading = False

    def load(self, kind: str) -> Iterator[Stored]:
        self._loading = True
        yield from super().load(kind)
        self._loading = False

    def commit(self, batch: Sequence[Element]) -> Answers:
        assert not self._loading, "locked"
        return super().commit(batch)


CAUGHT: list[tuple[type[MemoryDriver], Check]] = [
    (ForgetsTheExpectedRevision, commits.check_an_unexpected_revision_is_a_conflict_with_what_is_stored),
    (ForgetsTheExpectedRevision, races.check_of_two_claims_exactly_one_wins),
    (AnswersARepetitionWithAConflict, repetition.check_a_repeated_write_is_done),
    (
        TakesWhatNothingHasForNothing,
        repetition.check_an_element_that_expects_what_nothing_has_asks_and_writes_no_record,
    ),
    (AnswersARepetitionWithAConflict, repetition.check_a_deletion_of_nothing_is_done_whatever_was_expected),
    (ComparesARepetitionByItsRevisionAlone, commits.check_an_unexpected_revision_is_a_conflict_with_what_is_stored),
    (LosesAHistoryRow, commits.check_a_batch_is_answered_element_by_element),
    (LosesTheHistoryOfADeletion, commits.check_a_batch_is_answered_element_by_element),
    (WritesTheHistoryOfAConflict, commits.check_a_conflict_writes_no_history),
    (HoldsTheOthersUp, commits.check_a_batch_is_answered_element_by_element),
    (LooksBeforeItWrites, races.check_of_two_claims_exactly_one_wins),
    (LooksBeforeItWrites, races.check_batches_that_overlap_leave_nothing_out),
    (WritesTheRecordBeforeItsHistory, races.check_reads_during_writes_see_an_element_whole),
    (CutsAtANul, values.check_values_are_any_bytes),
    (FoldsTheCaseOfKeys, values.check_keys_are_any_text),
    (TakesAnySize, values.check_a_value_at_the_limit_is_taken_and_one_above_refused),
    (TakesAnyOutput, large.check_outputs_up_to_the_limit_are_taken_and_one_above_refused),
    (CutsOutputs, large.check_outputs_up_to_the_limit_are_taken_and_one_above_refused),
    (SplitsAnElement, large.check_an_element_may_have_very_many_rows),
    (LeavesOutWhatIsTooMuch, large.check_an_element_may_be_larger_than_a_batch),
    (WritesAHalfOfWhatItMay, large.check_a_batch_may_have_as_many_bytes_as_it_says),
    (SaysItsPassword, opening.check_it_says_where_it_is_and_what_answers),
    (RepeatsARowOnTheNextPage, history.check_pages_and_filters),
    (OrdersByTheScheduledMoment, history.check_pages_and_filters),
    (IncludesUntil, history.check_pages_and_filters),
    (OverwritesAKnownRun, repetition.check_history_with_a_known_id_is_left_as_it_is),
    (OrdersOutputsAsTheyCame, history.check_outputs_are_kept_by_attempt),
    (PrunesRangesWithRuns, pruning.check_pruning_keeps_the_latest_of_each_job),
    (PrunesByTheMomentOfCreation, pruning.check_pruning_by_age_goes_by_the_end_or_else_the_creation),
    (KeepsOutputsOfWhatIsPruned, pruning.check_pruning_keeps_the_latest_of_each_job),
    (CountsARepetitionAgain, pruning.check_trimming_counts_what_is_kept_once),
    (CountsWhatWasPrinted, pruning.check_trimming_counts_what_is_kept_once),
    (CountsWhatIsGone, pruning.check_trimming_does_not_count_what_is_gone),
    (TrimsTheLatest, pruning.check_trimming_drops_the_outputs_that_were_appended_first),
    (TrimsByTheRunsId, pruning.check_trimming_drops_the_outputs_that_were_appended_first),
    (TrimsBelowTheLimit, pruning.check_trimming_drops_the_outputs_that_were_appended_first),
    (TrimsTheRunAsWell, pruning.check_trimming_drops_the_outputs_that_were_appended_first),
    (ForgetsRunsAlone, pruning.check_forgetting_removes_all_of_a_job),
    (OmitsDeletions, changes.check_writes_and_deletions_are_told),
    (OmitsDeletions, changes.check_nothing_is_omitted_under_four_writers),
    (TakesTheTokenTooLate, changes.check_nothing_is_omitted_under_four_writers),
    (TakesAnyToken, changes.check_a_strange_token_resets),
    (ForgetsAtClosing, opening.check_close_and_open_keep_everything),
    (LooksBeforeItMakesItsTables, opening.check_several_open_an_empty_database_at_once),
    (CountsSeconds, opening.check_the_clock_is_sane),
    (LoadsUnderALock, opening.check_loading_goes_on_beside_other_calls),
]


@pytest.mark.parametrize(
    ("broken", "check"), [pytest.param(*pair, id=f"{pair[0].__name__}-{pair[1].__name__}") for pair in CAUGHT]
)
def test_a_broken_driver_is_caught(broken: type[MemoryDriver], check: Check) -> None:
    driver = broken()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(Database(lambda: driver, lasting=False, password="right"))


def test_every_topic_has_caught_one() -> None:
    for topic in (opening, commits, repetition, races, values, large, history, pruning, changes):
        assert {check for _, check in CAUGHT} & set(checks_of(topic)), topic.__name__
