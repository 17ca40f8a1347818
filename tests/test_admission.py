"""Who gets a place, and in which order: the structure alone, against a model that looks at everything."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from time import thread_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kala import ledger
from kala.admission import Admission, Begin
from kala.pools import Line, PoolRow
from kala.values import LabelLimit

Labels = dict[str, str]
Need = tuple[tuple[str, str], ...]

TEAMS = (LabelLimit("team", "a", 1), LabelLimit("team", None, 2))
POOLS = (LabelLimit("pool", "x", 3), LabelLimit("pool", "y", 1))
LIMITS: tuple[tuple[LabelLimit, ...], ...] = ((), POOLS, TEAMS, POOLS + TEAMS, TEAMS + POOLS)


class Watched:
    """An admission, and what must hold of it, worked out anew from all runs after each step."""

    def __init__(self, most: int, limits: Sequence[LabelLimit]) -> None:
        self.admission, self.most = Admission(most, limits), most
        self.limits = {(limit.name, limit.value): limit.most for limit in limits}
        self.on: dict[str, tuple[Need, Line]] = {}
        self.waiting: dict[str, Need] = {}  # in the order in which they came
        self.passed: defaultdict[Need, Counter[Need]] = defaultdict(Counter)
        self.count = 0

    def need(self, labels: Labels) -> Need:
        names = dict.fromkeys(name for name, _ in self.limits)
        return tuple(
            (name, labels[name])
            for name in names
            if name in labels and ((name, labels[name]) in self.limits or (name, None) in self.limits)
        )

    def limit(self, one: tuple[str, str]) -> int:
        return self.limits.get(one) or self.limits[one[0], None]

    def has_room(self, need: Need) -> bool:
        taken = Counter(one for theirs, _ in self.on.values() for one in theirs)
        return all(taken[one] < self.limit(one) for one in need)

    def ready(self) -> list[str]:
        """Those whom only `--max-runs` can hold up."""
        return [run for run, need in self.waiting.items() if self.has_room(need)]

    def comes(self, labels: Labels) -> str:
        self.count += 1
        run, need = f"run {self.count}", self.need(labels)
        line = self.admission.take(labels)
        assert (line is not None) == (len(self.on) < self.most and self.has_room(need))
        if line is not None:
            self.on[run] = need, line
        else:
            full = next((one for one in need if not self.has_room((one,))), None)
            reason = ledger.LIMIT if full is None else ledger.label_limit(*full)
            assert self.admission.why(labels) == reason
            self.admission.wait(f"job of {run}", run, labels)
            self.waiting[run] = need
            assert self.admission.why_waits(run) == reason
        self.holds()
        return run

    def ends(self, run: str) -> list[str]:
        """A run ends; those that start for that."""
        was_full = len(self.on) == self.most
        _, line = self.on.pop(run)
        self.admission.give_back(line)
        started = []
        while (begin := self.admission.next()) is not None:
            self.begins(begin, was_full)
            started.append(begin.run_id)
        self.holds()
        return started

    def begins(self, begin: Begin, was_full: bool) -> None:
        ready, run = self.ready(), begin.run_id
        assert begin.job_id == f"job of {run}"
        assert run in ready
        first = self.waiting[run][:1]
        alike = [one for one in ready if self.waiting[one][:1] == first] if was_full else ready
        assert run == alike[0]  # who came first goes first
        if was_full:
            for other in {self.waiting[one][:1] for one in ready} - {first}:
                self.passed[other][first] += 1
                assert self.passed[other][first] <= 1, "a pool had two turns while another waited for one"
        self.on[run] = self.waiting.pop(run), begin.line
        still = {self.waiting[one][:1] for one in self.ready()}
        for other in list(self.passed):
            if other not in still or other == first:
                del self.passed[other]

    def leaves(self, run: str) -> None:
        assert self.admission.leave(run) == (run in self.waiting)
        self.waiting.pop(run, None)
        still = {self.waiting[one][:1] for one in self.ready()}
        for other in list(self.passed):
            if other not in still:
                del self.passed[other]
        self.holds()

    def stops_waiting(self) -> None:
        assert sorted(self.admission.clear()) == sorted(self.waiting)
        self.waiting.clear()
        self.passed.clear()
        self.holds()

    def holds(self) -> None:
        assert len(self.on) <= self.most
        assert self.admission.running == len(self.on)
        assert self.admission.waiting == len(self.waiting)
        running = Counter(one for need, _ in self.on.values() for one in need)
        waiting = Counter(one for need in self.waiting.values() for one in need)
        assert all(count <= self.limit(one) for one, count in running.items())
        if len(self.on) < self.most:
            assert self.ready() == []  # nobody waits who could start
        lasting = {(name, value) for name, value in self.limits if value is not None}
        assert sorted(self.admission.rows()) == sorted(
            PoolRow(one[0], one[1], self.limit(one), running[one], waiting[one])
            for one in {*running, *waiting} | lasting
        )


COME, END, LEAVE, CLEAR = "come", "end", "leave", "clear"
LABELS = st.fixed_dictionaries({}, optional={"team": st.sampled_from("abcd"), "pool": st.sampled_from("xyz")})
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(COME), LABELS),
        st.tuples(st.just(COME), LABELS),
        st.tuples(st.just(END), st.integers(0, 50)),
        st.tuples(st.just(END), st.integers(0, 50)),
        st.tuples(st.just(LEAVE), st.integers(0, 50)),
        st.tuples(st.sampled_from([LEAVE] * 10 + [CLEAR]), st.integers(0, 50)),
    ),
    min_size=50,  # or they would be five, mostly
    max_size=150,
)


@settings(deadline=None)
@given(st.integers(1, 6), st.sampled_from(LIMITS), STEPS)
@example(1, POOLS, [(COME, {}), (COME, {"pool": "x"}), (COME, {"pool": "x"}), (COME, {}), (END, 0), (END, 0)])
def test_limits_hold_nobody_waits_who_could_start_and_all_places_come_back(
    most: int, limits: Sequence[LabelLimit], steps: list[tuple[str, Labels | int]]
) -> None:
    watched = Watched(most, limits)
    for kind, what in steps:
        among = list(watched.on if kind == END else watched.waiting)
        if isinstance(what, dict):
            watched.comes(what)
        elif kind == CLEAR:
            watched.stops_waiting()
        elif not among:
            continue
        elif kind == END:
            watched.ends(among[what % len(among)])
        else:
            watched.leaves(among[what % len(among)])
    while watched.on:
        watched.ends(next(iter(watched.on)))
    assert not watched.waiting
    # and nothing is kept of values that nobody has any more
    pools = watched.admission._pools
    assert len(pools._pools) == sum(limit.value is not None for limit in limits)
    assert len(pools.lines()) == 1  # of those that no limit concerns
    for _ in range(most):
        assert watched.admission.take({}) is not None


def test_without_limits_who_came_first_goes_first_whatever_labels_there_are() -> None:
    watched = Watched(2, ())
    runs = [watched.comes({"team": "abc"[number % 3]}) for number in range(20)]
    for done, following in zip(runs, runs[2:], strict=False):
        assert watched.ends(done) == [following]


def test_a_full_pool_holds_up_nobody_else() -> None:
    watched = Watched(3, POOLS)
    on = watched.comes({"pool": "y"})
    held = [watched.comes({"pool": "y"}) for _ in range(50)]
    assert {watched.comes({}), watched.comes({"pool": "x"})} <= set(watched.on)
    assert watched.admission.why_waits(held[0]) == "label limit: pool=y"
    assert watched.admission.why_waits(on) is None
    assert watched.ends(on) == held[:1]


def test_one_that_waits_is_not_starved_by_ten_thousand() -> None:
    """Given `--max-runs` of 4, and 10,000 runs of one pool before one of another and one without a pool."""
    busy = Admission(4, [LabelLimit("team", None, 3)])
    lines = [busy.take(labels) for labels in [None] + 3 * [{"team": "a"}]]
    for number in range(10_000):
        busy.wait("many", f"a {number}", {"team": "a"})
    busy.wait("one", "b", {"team": "b"})
    busy.wait("one", "free", None)
    started = []
    for line in lines:
        assert line is not None
        busy.give_back(line)
        started.append(busy.next())
        assert busy.next() is None
    assert [begin.run_id for begin in started if begin is not None] == ["b", "free", "a 0", "a 1"]


def test_a_run_in_two_pools_waits_for_both_and_keeps_no_place_meanwhile() -> None:
    watched = Watched(10, (LabelLimit("team", "a", 1), LabelLimit("pool", "x", 1)))
    team, pool = watched.comes({"team": "a"}), watched.comes({"pool": "x"})
    both = watched.comes({"team": "a", "pool": "x"})
    later = watched.comes({"team": "a"})
    assert watched.admission.why_waits(both) == "label limit: team=a"
    assert watched.ends(team) == [later]
    assert watched.ends(pool) == []
    assert watched.ends(later) == [both]
    assert watched.admission.why({"team": "a"}) == "label limit: team=a"


def test_of_several_limits_on_one_value_the_lowest_holds_and_its_own_goes_before_that_of_each() -> None:
    limits = [LabelLimit("team", None, 5), LabelLimit("team", "a", 6), LabelLimit("team", "a", 7)]
    admission = Admission(100, limits)
    assert sum(admission.take({"team": "a"}) is not None for _ in range(20)) == 6
    assert sum(admission.take({"team": "b"}) is not None for _ in range(20)) == 5
    assert admission.rows() == [PoolRow("team", "a", 6, 6, 0), PoolRow("team", "b", 5, 5, 0)]


def test_of_those_that_wait_for_several_pools_who_came_first_goes_first() -> None:
    watched = Watched(10, (LabelLimit("team", "a", 1), LabelLimit("pool", "x", 1)))
    on = watched.comes({"team": "a", "pool": "x"})
    gone = watched.comes({"pool": "x"})
    first = watched.comes({"team": "a", "pool": "x"})
    second, third = watched.comes({"pool": "x"}), watched.comes({"team": "a"})
    watched.leaves(gone)
    assert watched.ends(on) == [first]
    assert watched.ends(first) == [second, third]


def test_pools_that_have_room_at_once_have_their_turns_in_the_order_in_which_runs_came() -> None:
    watched = Watched(2, (LabelLimit("team", "a", 1), LabelLimit("pool", "x", 1)))
    both, free = watched.comes({"team": "a", "pool": "x"}), watched.comes({})
    more, first, second = watched.comes({}), watched.comes({"pool": "x"}), watched.comes({"team": "a"})
    assert watched.ends(both) == [more]
    assert watched.ends(free) == [first]
    assert watched.ends(more) == [second]


def test_who_leaves_takes_its_place_in_the_line_along() -> None:
    watched = Watched(10, (LabelLimit("team", "a", 5), LabelLimit("pool", "x", 1)))
    on, gone = watched.comes({"pool": "x"}), watched.comes({"pool": "x"})
    first, second = watched.comes({"team": "a", "pool": "x"}), watched.comes({"pool": "x"})
    watched.leaves(gone)
    assert watched.ends(on) == [first]
    assert watched.ends(first) == [second]


def test_a_run_of_a_job_with_other_labels_is_misplaced() -> None:
    watched = Watched(1, POOLS)
    watched.comes({})
    run = watched.comes({"pool": "x", "else": "1"})
    assert not watched.admission.is_misplaced(run, {"pool": "x"})
    assert watched.admission.is_misplaced(run, {"pool": "y"})
    assert watched.admission.is_misplaced(run, None)
    assert not watched.admission.is_misplaced("another", {"pool": "y"})


def passed_through(count: int, values: int, most: int, limits: Sequence[LabelLimit]) -> float:
    """Seconds until `count` runs, of `values` teams and in one pool, have all come, waited, started and ended."""
    admission = Admission(most, limits)
    begun, on = thread_time(), list[Line]()
    for number in range(count):
        labels = {"team": f"{number % values}", "pool": "x"}
        if (line := admission.take(labels)) is not None:
            on.append(line)
        else:
            admission.wait("job", f"{number}", labels)
    ended = 0
    while on:
        admission.give_back(on.pop())
        ended += 1
        while (begin := admission.next()) is not None:
            on.append(begin.line)
    assert ended == count
    return thread_time() - begun


@pytest.mark.parametrize(
    ("values", "most", "limits"),
    [
        (1, 100, ()),
        (50, 100, (LabelLimit("team", None, 10),)),
        (2_000, 100, (LabelLimit("team", None, 1),)),
        (2_000, 100_000, (LabelLimit("team", None, 5), LabelLimit("pool", "x", 10))),
    ],
)
def test_a_start_costs_no_more_when_many_wait(values: int, most: int, limits: Sequence[LabelLimit]) -> None:
    few, many = (min(passed_through(count, values, most, limits) for _ in range(3)) for count in (4_000, 32_000))
    assert many < 8 * few * 4  # eight times as many runs; a walk along all that wait would take 64 times as long
