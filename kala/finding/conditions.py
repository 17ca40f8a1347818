"""What jobs are chosen by: conditions as plain values, so that equal ones are known again, and what each of them looks
at in a record. Many are judged at a time: at 100,000 jobs a call each would take most of the time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import contains, eq
from typing import Any, NamedTuple

from kala.job import Record, last_state
from kala.states import State

STATES = ("active", "disabled", "done", "failing", "running")
"""Each job is one of the first three."""
_ALL_STATES = (*STATES, "enabled", "ended", "to come")  # the last two: whether `Record.is_done`
_BIT = {word: 1 << number for number, word in enumerate(_ALL_STATES)}


def _states_of(record: Record) -> int:
    ended = record.is_done
    bits = _BIT["ended"] if ended else _BIT["to come"]
    if record.disabled:
        bits |= _BIT["disabled"]
    else:
        bits |= _BIT["enabled"] | (_BIT["done"] if ended and not record.is_child else _BIT["active"])
    if last_state(record.results) not in (None, State.SUCCEEDED):
        bits |= _BIT["failing"]
    if record.open and any(run.state is not State.WAITING for run in record.open):
        bits |= _BIT["running"]
    return bits


def _text_of(record: Record) -> str:
    job = record.job
    return f"{job.name}\0{record.id}\0{job.owner}\0{job.command}".casefold()


Labels = tuple[tuple[str, str | None], ...]


def has_labels(has: Mapping[str, str], wanted: Iterable[tuple[str, str | None]]) -> bool:
    """Whether all of these are there, each with its value where that is not None."""
    return all(name in has and value in (None, has[name]) for name, value in wanted)


def _labelled(all_labels: Sequence[Mapping[str, str] | None], wanted: Labels) -> Iterable[bool]:
    (name, value), *others = wanted
    return [
        labels is not None
        and name in labels
        and (value is None or labels[name] == value)
        and (not others or has_labels(labels, others))
        for labels in all_labels
    ]


class Kind(NamedTuple):
    """`of` is what it looks at in a record, `nothing` what stands there for none; `meets` says of several of these
    whether each is as a condition wants it."""

    of: Callable[[Record], Any]
    nothing: Any
    meets: Callable[[Sequence[Any], Any], Iterable[bool]]


KINDS = {
    "text": Kind(_text_of, "", lambda texts, text: map(contains, texts, repeat(text))),
    "owner": Kind(lambda record: record.job.owner, "", lambda owners, owner: map(eq, owners, repeat(owner))),
    "labels": Kind(lambda record: record.job.labels, None, _labelled),
    "states": Kind(_states_of, 0, lambda all_states, states: [bits & states != 0 for bits in all_states]),
}


class Condition(NamedTuple):
    """What a record is to have, by one of `KINDS`: made by the functions below."""

    kind: str
    value: Any

    def holds(self, record: Record) -> bool:
        kind = KINDS[self.kind]
        return all(kind.meets([kind.of(record)], self.value))


def has_text(text: str) -> Condition:
    """It is part of the name, the id, the owner or the command, in any case."""
    # NUL parts these, and is in none of them: nor is a capital in what is casefolded
    return Condition("text", text.casefold().replace("\0", "A"))


def has_owner(owner: str) -> Condition:
    return Condition("owner", owner)


def is_labelled(labels: Labels) -> Condition:
    """All of these labels, at least one, are there, with their values where those are not None."""
    return Condition("labels", labels)


def in_state(words: Iterable[str]) -> Condition:
    """One of some of `STATES` holds."""
    return Condition("states", sum({_BIT[word] for word in words}))


def is_disabled(disabled: bool) -> Condition:
    return in_state(["disabled" if disabled else "enabled"])


def is_done(done: bool) -> Condition:
    """As `Record.is_done` says."""
    return in_state(["ended" if done else "to come"])
