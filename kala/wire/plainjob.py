"""Jobs of the kind that comes in great numbers, read in a sixth of the time: a name, a command, a schedule, an owner.

What is not just so (another member, another type, a name in other case, `null`, anything at fault or to be warned of)
is left to `jobread.py`, which alone knows what to say about it. Whatever is read here, it reads to the same job.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from kala import secrets
from kala.clock import Moment
from kala.errors import CommandError, ScheduleError
from kala.job import Job
from kala.ledger import plan_of
from kala.processes import words
from kala.wire.jobmembers import MEMBERS


def _limit(name: str) -> int:
    """Characters that the member may have."""
    return int(MEMBERS[name].schema["maxLength"])


class _Plain(Struct, forbid_unknown_fields=True, gc=False):
    name: Annotated[str, Meta(min_length=1, max_length=_limit("name"))]
    command: Annotated[str, Meta(max_length=_limit("command"))]
    schedule: Annotated[str, Meta(max_length=_limit("schedule"))] = ""
    owner: Annotated[str, Meta(max_length=_limit("owner"))] = ""


_decoder = msgspec.json.Decoder(_Plain)


def read_plain(data: bytes, *, now: Moment, default_owner: str) -> Job | None:
    """The job, when it is plain, sound, and nothing is to be warned of; its schedule starts at `now` or later."""
    try:
        plain = _decoder.decode(data)
        if "\0" in plain.name or "\0" in plain.owner or secrets.WORD in plain.command or words.check(plain.command):
            return None
        job = Job(plain.name, plain.command, plain.owner or default_owner, plain.schedule)
        if job.schedule and (start := plan_of(job).start) is not None and start < now:
            return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, CommandError, ScheduleError):
        return None
    return job
