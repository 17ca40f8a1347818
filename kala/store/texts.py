"""Texts that many jobs have in common, in memory once."""

from typing import Final

from msgspec.structs import force_setattr

from kala.job import Job

MOST: Final = 10_000
"""Distinct texts that are known: some more jobs may have their own."""


class Texts:
    """A command, a schedule, an owner are read anew with each job, at 50 to 100 bytes each, and are often the same."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def share(self, job: Job) -> None:
        """Let a job have those that are known in place of its own, which are equal."""
        known = self._known
        learn = known.setdefault if len(known) < MOST else known.get
        # A new object in place of an equal one is no change of a frozen struct.
        if job.command:
            force_setattr(job, "command", learn(job.command, job.command))
        if job.schedule:
            force_setattr(job, "schedule", learn(job.schedule, job.schedule))
        if job.owner:
            force_setattr(job, "owner", learn(job.owner, job.owner))
        if job.time_zone:
            force_setattr(job, "time_zone", learn(job.time_zone, job.time_zone))
