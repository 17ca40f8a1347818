"""Finding jobs among all: whatever has changed since the last question, the answer is that of a plain look at each."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from records import T0, at, job, run
from trio.testing import MockClock
from world import simulated

from kala import finding, slices
from kala.errors import JobNotFound
from kala.finding import KEPT, Finder, orders, table
from kala.job import Record, packed, replace
from kala.service import Service
from kala.states import State
from kala.store.roster import Roster
from kala.web.choosing import Chosen, choose
from kala.wire.jobjson import next_run_at

IDS = "ABCDEFGH"
NAMES = ["b", "B", "a", "Ärger", "straße", "STRASSE", "x\ny"]
NOTHING: dict[str, Any] = {
    "limit": None,
    "after": None,
    "id": [],
    "q": None,
    "label": [],
    "owner": None,
    "disabled": None,
    "done": None,
    "state": [],
    "sort": None,
}
STATES = ["active", "disabled", "done", "failing", "running"]
SORTS = ["created", "name", "owner", "next_run_at", "last_attempted_run"]
ENDED = [b"", *(packed(b"", run(state=state)) for state in (State.SUCCEEDED, State.FAILED))]

records = st.builds(
    lambda one, words, parents, labels, moments, disabled, deleted, opened, results: Record(
        one,
        replace(
            job(), name=words[0], owner=words[1], command=words[2], parent_jobs=list(parents) or None, labels=labels
        ),
        T0,  # `enter` sets it
        disabled=disabled,
        deleted=T0 if deleted else None,
        cursor=moments[0],
        last_attempted=moments[1],
        finished=int(bool(results)),
        open=(run(state=opened),) if opened else (),
        results=results,
    ),
    st.sampled_from(IDS),
    st.tuples(*[st.sampled_from(NAMES)] * 3),
    st.sets(st.sampled_from(IDS), max_size=1),
    st.none() | st.dictionaries(st.sampled_from("kl"), st.sampled_from("12")),
    st.tuples(*[st.none() | st.integers(1, 3).map(at)] * 2),
    st.booleans(),
    st.integers(0, 4).map(lambda k: k == 0),
    st.sampled_from([None, State.WAITING, State.RUNNING]),
    st.sampled_from(ENDED),
)
filters = st.one_of(
    st.fixed_dictionaries({"q": st.sampled_from(["a", "B", "SS", "ß", "y\0", "\0", "nothing"])}),
    st.fixed_dictionaries({"id": st.lists(st.sampled_from(IDS), max_size=5)}),
    st.fixed_dictionaries(
        {"label": st.lists(st.tuples(st.sampled_from("kl"), st.none() | st.sampled_from("12")), max_size=2)}
    ),
    st.fixed_dictionaries({"owner": st.sampled_from(NAMES)}),
    st.fixed_dictionaries({"disabled": st.booleans()}),
    st.fixed_dictionaries({"done": st.booleans()}),
    st.fixed_dictionaries({"state": st.lists(st.lists(st.sampled_from(STATES), max_size=2), max_size=2)}),
)
questions = st.builds(
    lambda sort, limit, after, chosen: NOTHING | {"sort": sort, "limit": limit, "after": after} | chosen[0] | chosen[1],
    st.sampled_from([None, *SORTS, *(f"-{one}" for one in SORTS)]),
    st.none() | st.integers(1, 4),
    st.none() | st.sampled_from(IDS),
    st.tuples(st.just({}) | filters, st.just({}) | filters),
)


class Jobs:
    """A roster, as a service has it, with jobs that get their moments of creation as a store gives them."""

    def __init__(self) -> None:
        self.roster, self.count = Roster(), 0
        self.finder = Finder(self.roster)
        self._service = cast(
            Service,
            SimpleNamespace(
                demand_loaded=lambda: None,
                finder=self.finder,
                job_ids=lambda: list(self.roster.jobs),
                peek=self.roster.jobs.get,
                remembered=self.roster.get,
            ),
        )

    def enter(self, step: Record | str) -> None:
        """Put a record, or drop an id."""
        if isinstance(step, str):
            self.roster.drop(step)
            return
        before = self.roster.jobs.get(step.id)
        self.count += 1
        created = T0 + self.count if before is None else before.created
        if step.deleted is not None and (known := self.roster.get(step.id)) is not None:
            created = known.created
        self.roster.put(replace(step, created=created))

    async def found(self, asked: dict[str, Any]) -> Chosen | None:
        """None for an `after` that is not known."""
        try:
            return await choose(self._service, asked, total=True)
        except JobNotFound:
            return None

    def plainly(self, asked: dict[str, Any]) -> Chosen | None:
        """The same, by a look at each job."""
        wanted = [one for one in self.roster.jobs.values() if self._is_wanted(one, asked)]
        by, backwards = (asked["sort"] or "created").removeprefix("-"), (asked["sort"] or "").startswith("-")
        after = None if asked["after"] is None else self.roster.get(asked["after"])
        if asked["after"] is not None and after is None:
            return None
        others = [after] if after is not None and after not in wanted else []
        ordered = [one.id for one in in_order([*wanted, *others], by, backwards)]
        found = ordered if after is None else ordered[ordered.index(after.id) + 1 :]
        limit = asked["limit"]
        following = limit is not None and len(found) > limit
        return Chosen(found[:limit], found[limit - 1] if following and limit else None, len(wanted))

    def _is_wanted(self, one: Record, asked: dict[str, Any]) -> bool:
        of, q = one.job, (asked["q"] or "").casefold()
        states = {word for words in asked["state"] for word in words}
        is_over = not one.is_child and one.cursor is None and not one.open
        has = {
            "disabled": one.disabled,
            "done": is_over and not one.disabled,
            "active": not is_over and not one.disabled,
            "failing": one.results == ENDED[2],
            "running": any(on.state is not State.WAITING for on in one.open),
        }
        return (
            (not asked["id"] or one.id in asked["id"])
            and any(q in text.casefold() for text in (of.name, one.id, of.owner, of.command))
            and all((of.labels or {}).get(name) in ({value} if value else {"1", "2"}) for name, value in asked["label"])
            and asked["owner"] in (None, of.owner)
            and asked["disabled"] in (None, one.disabled)
            and asked["done"] in (None, one.is_done)
            and (not states or any(has[word] for word in states))
        )


def in_order(jobs: list[Record], by: str, backwards: bool) -> list[Record]:
    texts: dict[str, Callable[[Record], str]] = {"name": lambda one: one.job.name, "owner": lambda one: one.job.owner}
    if by in texts:
        text = texts[by]
        return sorted(jobs, key=lambda one: (text(one).casefold(), text(one), one.created, one.id), reverse=backwards)
    if by == "created":
        return sorted(jobs, key=lambda one: (one.created, one.id), reverse=backwards)
    moment = next_run_at if by == "next_run_at" else (lambda one: one.last_attempted)
    with_one = [one for one in jobs if moment(one) is not None]
    without = [one for one in jobs if moment(one) is None]
    with_one.sort(key=lambda one: (moment(one), one.created, one.id), reverse=backwards)
    return with_one + in_order(without, "created", backwards)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Parts and steps as small as they can be, and others have their turn at each step."""
    with ExitStack() as stack:
        for module, name, value in (
            (orders, "PART", 2),
            (table, "AT_ONCE", 2),
            (table, "LOOKED_THROUGH", 2),
            (table, "MASKS", 6),
            (finding, "AT_ONCE", 1),
            (slices, "SLICE", -1.0),
        ):
            stack.enter_context(patch.object(module, name, value))
        yield


@settings(max_examples=300)
@given(
    before=st.lists(records, min_size=5, max_size=12),
    steps=st.lists(records | st.sampled_from(IDS) | questions | questions, min_size=5, max_size=20),
)
def test_what_is_found_is_what_a_look_at_each_job_finds(
    before: list[Record], steps: list[Record | str | dict[str, Any]]
) -> None:
    async def main() -> None:
        jobs = Jobs()
        for step in [*before, *steps]:
            if isinstance(step, dict):
                assert await jobs.found(step) == jobs.plainly(step), step
            else:
                jobs.enter(step)

    trio.run(main)


@given(
    before=st.lists(records | st.sampled_from(IDS), max_size=12),
    meanwhile=st.lists(records | st.sampled_from(IDS), max_size=12),
    asked=questions,
    patience=st.integers(0, 20),
)
def test_jobs_change_and_clients_go_away_while_it_is_looked(
    before: list[Record | str], meanwhile: list[Record | str], asked: dict[str, Any], patience: int
) -> None:
    async def main() -> None:
        jobs = Jobs()
        for step in before:
            jobs.enter(step)
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def ask() -> None:
                with scope:
                    await jobs.found(asked)

            nursery.start_soon(ask)
            nursery.start_soon(jobs.found, asked)
            for number, step in enumerate(meanwhile):
                await trio.lowlevel.checkpoint()
                jobs.enter(step)
                if number == patience:
                    scope.cancel()
            if patience > len(meanwhile):
                scope.cancel()
        assert await jobs.found(asked) == jobs.plainly(asked)

    trio.run(main)


@simulated
async def test_who_asks_no_longer_costs_nothing() -> None:
    jobs = Jobs()
    for one in IDS:
        jobs.enter(Record(one, job(), T0, cursor=T0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(jobs.finder.run)
        # given that nobody has asked, then nothing is noted
        assert jobs.roster.changed is None
        for _ in range(2):
            # when somebody asks now and again, then what changes is noted
            for _ in range(3):
                assert await jobs.found(NOTHING | {"sort": "name", "limit": 3}) == (["A", "B", "C"], "C", 8)
                jobs.enter(Record("A", job(), T0, cursor=T0))
                assert jobs.roster.changed == {"A": False}
                await trio.sleep(KEPT * 0.9)
            # and when nobody does any more, no longer
            await trio.sleep(KEPT * 0.2)
            assert jobs.roster.changed is None
        nursery.cancel_scope.cancel()


def test_many_that_have_gone_leave_nothing_behind() -> None:
    async def main() -> None:
        jobs = Jobs()
        asked = NOTHING | {"sort": "name", "limit": 1, "q": "9"}
        for number in range(2_000):
            jobs.enter(Record(f"{number:04}", job(), T0, cursor=T0))
            if number % 100 == 99:
                assert await jobs.found(asked) == jobs.plainly(asked)
        for number in range(1_900):
            jobs.enter(f"{number:04}")
        for _ in range(2):
            assert await jobs.found(asked) == jobs.plainly(asked)
        assert len(jobs.finder._table.ids) == 100  # type: ignore[union-attr]  # what it is about

    trio.run(main, clock=MockClock())
