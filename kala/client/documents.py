"""Definitions of jobs in files, JSON or TOML: reading them, and writing them.

A file holds one job, a list of them (JSON), or them under `jobs`: `[[jobs]]` in TOML, in JSON a list or, as
`GET /job/` answers, an object by id.
"""

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kala.errors import shortened
from kala.wire.jobjson import JobObject
from kala.wire.jobmembers import MEMBERS, NAMES, canonical

SUFFIXES = (".json", ".toml")
SET_BY_SERVER = frozenset(one.encode_name for one in msgspec.structs.fields(JobObject)) - MEMBERS.keys()
"""Members that only a server sets: passed over in files."""


class Document(NamedTuple):
    """One job of a file. `where` is the file, and which of its jobs when it has several; `id` is empty when it has
    none: by it other jobs of the files may name it."""

    where: str
    id: str
    members: dict[str, Any]  # under their right names


def read_files(paths: Sequence[str]) -> tuple[list[Document], dict[str, str]]:
    """The jobs of files, and of all `.json` and `.toml` files of folders and theirs; `-` is standard input.

    And the faults: files that cannot be read, and members that are none, each under its file and job.
    """
    found: list[Document] = []
    faults: dict[str, str] = {}
    for path in paths:
        for name in files_of(path):
            try:
                found += documents(name, read_text(name), faults)
            except (OSError, ValueError) as error:
                faults[name] = (error.strerror if isinstance(error, OSError) else "") or str(error)
    return found, faults


def files_of(path: str) -> list[str]:
    folder = Path(path)
    if path == "-" or not folder.is_dir():
        return [path]
    return sorted(
        str(one)
        for one in folder.rglob("*")
        if one.suffix in SUFFIXES
        and one.is_file()
        and not any(part.startswith(".") for part in one.relative_to(folder).parts)
    )


def read_text(name: str) -> str:
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    return data.decode("utf-8-sig")


def documents(name: str, text: str, faults: dict[str, str]) -> Iterator[Document]:
    """The jobs in one file. Raises `ValueError` when it is neither JSON nor TOML, or holds no job."""
    value = parsed(name, text)
    many = value["jobs"] if isinstance(value, dict) and "jobs" in value else value
    if isinstance(many, dict) and many is not value:
        items: list[Any] = [{"id": key, **job} if isinstance(job, dict) else job for key, job in many.items()]
    elif isinstance(many, list):
        items = many
    else:
        items = [value]
    for number, item in enumerate(items, 1):
        where = name if name != "-" else "standard input"
        if many is not value or isinstance(value, list):
            where += f": job {number}"
            if isinstance(item, dict) and isinstance(item.get("name"), str):
                where += f" ({shortened(item['name'], 40)})"
        if not isinstance(item, dict):
            faults[where] = "must be an object"
            continue
        for key in item:
            if key not in SET_BY_SERVER and key.casefold() not in NAMES:
                faults[f"{where}: {shortened(key)}"] = "is no member of a job"
        yield Document(where, str(item.get("id") or ""), canonical(item, NAMES))


def parsed(name: str, text: str) -> Any:
    """The value of a file, by its suffix; without one, JSON or else TOML."""
    if name.endswith(".toml"):
        return tomllib.loads(text)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        if not name.endswith(".json"):
            try:
                return tomllib.loads(text)
            except tomllib.TOMLDecodeError as fault:
                if not text.lstrip().startswith(("{", "[{")):
                    raise ValueError(f"is not TOML, nor JSON: {fault}") from None
        raise ValueError(f"is not JSON: {error}") from None


def as_json(jobs: Sequence[Mapping[str, Any]]) -> str:
    """One job as an object, any other number of them as `{"jobs": [...]}`."""
    value = jobs[0] if len(jobs) == 1 else {"jobs": jobs}
    return json.dumps(value, ensure_ascii=False, indent=2).replace("\x7f", "\\u007f") + "\n"


def as_toml(jobs: Sequence[Mapping[str, Any]]) -> str:
    """The same in TOML: one job as the top of the file, any other number under `[[jobs]]`."""
    if not jobs:
        return "jobs = []\n"
    heading = "" if len(jobs) == 1 else "[[jobs]]\n"
    return "\n".join(
        heading + "".join(f"{key(name)} = {inline(value)}\n" for name, value in job.items()) for job in jobs
    )


def inline(value: Any) -> str:
    """A value of TOML 1.0 on one line. There is no null in it: members that are null are left out."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key(name)} = {inline(one)}" for name, one in value.items() if one is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    return name if name and all(one.isascii() and (one.isalnum() or one in "_-") for one in name) else inline(name)
