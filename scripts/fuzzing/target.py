"""What a target of the fuzzer is, and how it says what must hold."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Finding(Exception):
    """Something that must hold does not. So is any error that a target lets out."""


class Target(NamedTuple):
    """`try_one` is called with each input. `seeds` are examples to begin with, `words` what inputs are often made of.
    Inputs are at most `longest` bytes."""

    name: str
    try_one: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[str] = ()
    longest: int = 1024


def must(holds: bool, what: str, *values: object) -> None:
    """Raise `Finding` unless it holds."""
    if not holds:
        raise Finding(f"{what}: {values!r}")


def text_of(data: bytes) -> str:
    """Any text, with NUL and halves of surrogate pairs among it."""
    return data.decode("utf-8", "surrogateescape")
