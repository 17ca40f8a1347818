"""What came of a claimed run, as plain facts: they can be kept in a file while the database is away, and what they come
to is decided on the record as it is when they are written."""

from msgspec import Struct

from kala import ledger
from kala.clock import Moment
from kala.errors import JobNotFound
from kala.job import Attempt
from kala.ledger import Change
from kala.store.draft import Draft


class Result(Struct, frozen=True, omit_defaults=True):
    """The end of an attempt of a run that `instance` had claimed, and what it printed; without an attempt, that the run
    was not started, and why."""

    job_id: str
    run_id: str
    instance: str
    attempt: Attempt | None = None
    output: bytes = b""
    reason: str = ""

    @property
    def name(self) -> tuple[str, int]:
        """The run and the attempt: 0 when it was not started."""
        return self.run_id, 0 if self.attempt is None else self.attempt.number

    def decide(self, draft: Draft, now: Moment) -> tuple[Change]:
        """What it comes to. Raises `Stale` when the run is not this instance's any more, `JobNotFound`."""
        record = draft.any(self.job_id)
        if record is None:
            raise JobNotFound(self.job_id)
        if self.attempt is None:
            return (ledger.put_back(record, run_id=self.run_id, instance=self.instance, reason=self.reason, now=now),)
        return (
            ledger.end_attempt(
                record,
                run_id=self.run_id,
                attempt=self.attempt,
                output=self.output,
                now=now,
                children=draft.children(self.job_id),
                instance=self.instance,
            ),
        )
