"""What a batch of decisions comes to, before it is written."""

from collections.abc import Iterator, Sequence

from kala.drivers.contract import Element
from kala.job import Output, Record, Run, encode, replace
from kala.ledger import Change
from kala.store.roster import Roster

JOB = "job"


class Draft:
    """The jobs as they will be when the batch in hand has been written. (It is `register.Others`.)"""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self.changes: dict[str, list[Change]] = {}
        self.after: dict[str, Record] = {}  # what `elements` has written of each job that stays, with its revision
        self._kin: dict[str, set[str]] = {}  # of a parent: jobs changed here that name it

    def any(self, job_id: str) -> Record | None:
        """A job's record, be it deleted."""
        if (mine := self.changes.get(job_id)) is not None:
            return None if mine[-1].purge else mine[-1].record
        return self._roster.get(job_id)

    def get(self, job_id: str) -> Record | None:
        """A job that is not deleted."""
        record = self.any(job_id)
        return record if record is not None and record.deleted is None else None

    def children(self, job_id: str) -> list[str]:
        """The jobs with this parent, in the order in which they were added."""
        known = self._roster.children(job_id) or []
        if not self.changes or not (known or job_id in self._kin):
            return known
        found = {}
        for one in {*known, *self._kin.get(job_id, ())}:
            record = self.get(one)
            if record is not None and job_id in (record.job.parent_jobs or ()):
                found[one] = record.created
        return sorted(found, key=lambda child: (found[child], child))

    def add(self, change: Change) -> None:
        record = change.record
        self.changes.setdefault(record.id, []).append(change)
        for parent in record.job.parent_jobs or ():
            self._kin.setdefault(parent, set()).add(record.id)

    def elements(self) -> Iterator[Element]:
        """One write for each job whose record or history differs from what is stored."""
        for job_id, changes in self.changes.items():
            before, last = self._roster.get(job_id), changes[-1]
            runs: Sequence[Run] = last.rows
            outputs: Sequence[Output] = last.outputs
            if len(changes) > 1:
                runs = [run for change in changes for run in change.rows]
                outputs = [output for change in changes for output in change.outputs]
            expected = before.revision if before is not None else 0
            if last.purge:
                yield Element(JOB, job_id, expected, expected + 1, None)
            elif last.record is not before or runs or outputs:
                self.after[job_id] = after = replace(last.record, revision=expected + 1)
                yield Element(JOB, job_id, expected, expected + 1, encode(after), runs, outputs)
