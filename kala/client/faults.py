"""What can go wrong between a client and a daemon. `commands/exits.py` says what a shell gets for each."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from kala.errors import KalaError, shortened


class Unreachable(KalaError):
    """No answer: nothing listens there, the connection broke off, or what answers is no daemon."""

    def __init__(self, url: str, fault: str) -> None:
        super().__init__(f"{url} cannot be reached: {fault}")


class Answered(KalaError):
    """An answer of 400 and above. `fields` has the faults of single members."""

    def __init__(self, status: int, error: str, fields: Mapping[str, str] | None = None) -> None:
        self.status, self.fields = status, dict(fields or {})
        super().__init__(error)


def refusal(status: int, body: bytes) -> Answered:
    """What an answer of 400 and above says. A body that is not a daemon's is told as it is, shortened."""
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
        error, fields = str(said["error"]), {str(path): str(fault) for path, fault in said.get("fields", {}).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, AttributeError):
        error, fields = shortened(" ".join(body.decode(errors="replace").split()), 200), {}
    return Answered(status, error or f"answered {status}", fields)


class Ambiguous(KalaError):
    """A name that several jobs have."""

    def __init__(self, name: str, ids: Iterable[str]) -> None:
        super().__init__(f"{shortened(name)!r} is the name of several jobs: say which by its id: {', '.join(ids)}")


class NoSuchJob(KalaError):
    """No job has this id or name."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"there is no job {shortened(wanted)!r}")


class FilesFaulty(KalaError):
    """Definitions in files that cannot be taken. `faults` has each under its file, job and member."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = dict(faults)
        super().__init__(f"{len(faults):,} {'fault' if len(faults) == 1 else 'faults'}, and nothing was changed")
