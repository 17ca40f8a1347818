"""Every error of the domain. `web/problems.py` and `cli.py` say what a client or a shell gets for each.

An error builds its message from what it is given; whoever raises it gives facts, not sentences.
"""

from collections.abc import Mapping


class KalaError(Exception):
    """Something this program foresees; anything else that is raised is a bug."""


class Invalid(KalaError):
    """Input that cannot be taken. `fields` maps each wrong field's path to its fault; all faults are named at once."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{path}: {fault}" if path else fault for path, fault in self.fields.items()))


class NotJson(Invalid):
    """Input that is not JSON at all."""

    def __init__(self, fault: str) -> None:
        super().__init__({"": fault})


class ScheduleError(KalaError):
    """A schedule or duration that cannot be read. `fault` says what is wrong with it."""

    def __init__(self, text: str, fault: str) -> None:
        self.text, self.fault = text, fault
        super().__init__(f"{shortened(text)!r}: {fault}")


class ZoneError(ScheduleError):
    """A time zone that is not known."""


class CommandError(KalaError):
    """A command line that cannot be split into words."""


class TemplateFault(KalaError):
    """A template that cannot be read or rendered."""


class JobNotFound(KalaError):
    """No job has this id (any more)."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"there is no job {shortened(job_id)!r}")


class RunNotFound(KalaError):
    """No run has this id, or it is not kept any more."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {shortened(run_id)!r}")


class RunEnded(KalaError):
    """The run has ended, and was asked to end."""

    def __init__(self, run_id: str, state: str) -> None:
        self.state = state
        super().__init__(f"run {run_id} has ended: {state}")


class Paused(KalaError):
    """The daemon is paused, and was asked to start something."""

    def __init__(self) -> None:
        super().__init__("the daemon is paused and starts nothing: resume it first")


class KeyUsed(KalaError):
    """An idempotency key that has made something else."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"Idempotency-Key: {fault}")


class JobDisabled(KalaError):
    """The job is disabled, and was asked to run."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} is disabled: enable it before starting it")


class JobExists(KalaError):
    """A job with this id is there already."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is a job {job_id} already")


class VersionChanged(KalaError):
    """The job is no longer the version that the client saw."""

    def __init__(self, job_id: str, expected: str, actual: int) -> None:
        super().__init__(f"job {job_id} is at version {actual}, not {expected}: read it again")


class Stale(KalaError):
    """A decision came too late: the occurrence, run or version it is about is not there any more. Not a fault."""


class Stopping(KalaError):
    """The daemon is stopping and starts nothing new."""

    def __init__(self) -> None:
        super().__init__("the daemon is stopping: nothing new is started")


class StoreUnavailable(KalaError):
    """The database cannot be reached, or cannot write, now. Trying again later is right."""


class Kept(StoreUnavailable):
    """The database is away, and a result is kept in a file until the next start."""


class StoreRefused(KalaError):
    """The database will not have us (credentials, version, not a database): a person must act."""


class StoreCorrupt(KalaError):
    """One record that cannot be read. It is named, kept and skipped."""

    def __init__(self, kind: str, key: str, fault: str) -> None:
        self.kind, self.key = kind, key
        super().__init__(f"{kind} {key!r} cannot be read and is left alone: {fault}")


class ValueTooLarge(KalaError):
    """A record larger than the database takes."""

    def __init__(self, key: str, size: int, limit: int) -> None:
        super().__init__(f"{key} is {size} bytes, and the database takes at most {limit}")


class SettingsError(KalaError):
    """A flag, variable or settings file that cannot be used."""


def again(fault: KalaError) -> KalaError:
    """The same, to be raised once more: one that is raised again and again would gather tracebacks."""
    return type(fault)(*fault.args)


def shortened(text: str, limit: int = 80) -> str:
    """`text`, or its beginning when it is long: messages stay readable whatever was sent."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
