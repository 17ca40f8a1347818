"""Moves between databases in this process: what arrives, what is refused, and what a move that is cut off leaves."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from moved import Holding, commit, fill, holding, job_element, put, row
from records import attempt, run

from kala import lease, moving
from kala.clock import SECOND, Clock
from kala.drivers.contract import Conflict, Driver, Element
from kala.drivers.memory import MemoryDriver
from kala.drivers.sqlite import SqliteDriver
from kala.drivers.unfinished import MARK, refuse_unfinished
from kala.errors import KalaError, StoreRefused, StoreUnavailable
from kala.job import Output, Run, replace
from kala.lease import Lease
from kala.moving import Move, MoveFailed, Report, reading
from kala.states import State


class Told:
    """Who is told how far it is; `heard(title)` is called for every step."""

    def __init__(self, heard: Callable[[str], None] = lambda title: None) -> None:
        self.heard = heard
        self.stages: list[tuple[str, int | None]] = []
        self.done: list[int] = []

    def stage(self, title: str, total: int | None = None) -> None:
        self.stages.append((title, total))
        self.done.append(0)

    def advance(self, number: int) -> None:
        self.done[-1] += number
        self.heard(self.stages[-1][0])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pages and portions, so that a little history has many."""
    monkeypatch.setattr(reading, "PAGE", 50)
    monkeypatch.setattr(moving, "PAGE", 50)
    monkeypatch.setattr(moving, "PORTION", 200_000)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SqliteDriver]:
    driver = SqliteDriver(tmp_path / "source.db")
    driver.open()
    fill(driver)
    yield driver
    driver.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[SqliteDriver]:
    driver = SqliteDriver(tmp_path / "target" / "kala.db")
    driver.open()
    yield driver
    driver.close()


def moved(source: Driver, target: Driver, told: Told | None = None) -> Report:
    return Move(source, target, told or Told()).run()


def test_everything_arrives_and_the_source_is_as_it_was(source: SqliteDriver, target: SqliteDriver) -> None:
    before, token, told = holding(source), source.changes("").token, Told()
    report = moved(source, target, told)
    assert holding(target) == before
    assert holding(source) == before
    assert source.changes("").token == token
    assert target.get("setting", "probe") is None
    assert target.get("instance", "long dead") is None
    assert target.get(*MARK) is None
    refuse_unfinished(target)

    # and the report has counted it, and every stage went to its end
    assert [(what, one.count) for what, one, _ in report.lines] == [
        ("jobs, with deleted ones", 61),
        ("settings", 1),
        ("history", 300),
        ("outputs", sum(map(len, before.outputs.values()))),
    ]
    assert all(one == other for _, one, other in report.lines)
    assert told.stages == [("reading", None), ("copying", 362), ("comparing", 724)]
    assert told.done == [363, 362, 725]  # with the instance, which does not move


class Stormy:
    """A driver whose commits fail when `fails(number)`: what was asked was done (`after`), or not."""

    def __init__(self, inner: Driver, fails: Callable[[int], bool], *, after: bool) -> None:
        self.inner, self.fails, self.after = inner, fails, after
        self.number = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        self.number += 1
        fails = self.fails(self.number)
        if fails and not self.after:
            raise StoreUnavailable("a storm")
        answers = self.inner.commit(batch)
        if fails:
            raise StoreUnavailable("a storm")
        return answers


@pytest.mark.parametrize("after", [False, True])
def test_a_move_that_is_cut_off_anywhere_goes_on(after: bool) -> None:
    source = MemoryDriver()
    fill(source, jobs=20, rows=130)
    before = holding(source)
    for cut in range(1, 1_000):
        target = MemoryDriver()
        stormy = Stormy(target, lambda number, cut=cut: number == cut, after=after)
        move = Move(source, stormy, Told())  # type: ignore[arg-type]  # it has the rest by `__getattr__`
        fault = fault_of(move)
        if fault is None:
            assert cut > 5, "there are many commits"
            return
        assert move.is_begun
        if isinstance(fault, MoveFailed) and after:  # the last answer was lost
            assert "all was copied and compared, but perhaps not noted" in str(fault)
            refuse_unfinished(target)
        else:
            moved(source, target)
        assert holding(target) == before


def fault_of(move: Move) -> KalaError | None:
    try:
        move.run()
    except (StoreUnavailable, MoveFailed) as fault:
        return fault
    return None


def test_what_is_there_of_the_history_is_not_written_again(source: SqliteDriver) -> None:
    target = MemoryDriver()
    with pytest.raises(StoreUnavailable):
        moved(source, Stormy(target, lambda number: number == 12, after=False))  # type: ignore[arg-type]
    there = len(holding(target).history)
    assert 50 < there < 300
    again = Stormy(target, lambda number: False, after=False)
    told = Told()
    moved(source, again, told)  # type: ignore[arg-type]
    whole = Stormy(MemoryDriver(), lambda number: False, after=False)
    moved(source, whole)  # type: ignore[arg-type]
    assert again.number < whole.number
    assert told.done[1] == told.stages[1][1]


def test_a_source_that_has_changed_since_is_another(source: SqliteDriver) -> None:
    target = MemoryDriver()
    with pytest.raises(StoreUnavailable):
        moved(source, Stormy(target, lambda number: number == 4, after=False))  # type: ignore[arg-type]
    commit(source, [job_element("new", 1)])
    with pytest.raises(StoreRefused, match=r"holds the beginning of another move, of sqlite .*source\.db as it was"):
        moved(source, target)


CHANGES = {
    "a job": [job_element("new", 1)],
    "a row": [row(1_000)],
    "a daemon that came and went": [put("instance", "guest", b'{"ended":true}', 2)],
}


@pytest.mark.parametrize(
    ("stage", "what"), [*(("copying", what) for what in CHANGES), ("comparing", "a daemon that came and went")]
)
def test_a_source_that_changes_meanwhile(source: SqliteDriver, target: SqliteDriver, what: str, stage: str) -> None:
    todo = [CHANGES[what]]

    def heard(title: str) -> None:
        if title == stage and todo:
            commit(source, todo.pop())

    with pytest.raises(MoveFailed, match="was changed while it was moved: stop whatever works on it"):
        moved(source, target, Told(heard))
    with pytest.raises(StoreRefused, match="not finished"):
        refuse_unfinished(target)


class Liar(MemoryDriver):
    """Says that it has done what it was asked, and has not quite."""

    lie: Callable[[Element], Element] = staticmethod(lambda element: element)

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        return super().commit([self.lie(element) for element in batch])


def spoilt(run: Run) -> Run:
    return replace(run, reason="") if run.id == "run 7" else run


LIES: dict[str, tuple[Callable[[Element], Element], str]] = {
    "a row is lost": (lambda one: replace(one, runs=[each for each in one.runs if each.id != "run 7"]), "history"),
    "a row is spoilt": (lambda one: replace(one, runs=[spoilt(each) for each in one.runs]), "history"),
    "rows in another order": (lambda one: replace(one, runs=one.runs[::-1]), "history"),
    "an output is lost": (lambda one: replace(one, outputs=one.outputs[1:]), "outputs"),
    "a job is spoilt": (lambda one: replace(one, value=b"{}") if one.key == "JOB" else one, "jobs, with deleted ones"),
    "a revision": (lambda one: replace(one, revision=5) if one.key == "pause" else one, "settings"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_target_that_does_not_hold_what_it_took(source: SqliteDriver, name: str) -> None:
    lie, what = LIES[name]
    target = Liar()
    target.lie = lie  # type: ignore[method-assign]
    with pytest.raises(MoveFailed, match=rf"differ in their {what} \("):
        moved(source, target)
    with pytest.raises(StoreRefused, match="not finished"):
        refuse_unfinished(target)


def test_larger_records_than_the_target_takes(source: SqliteDriver, target: SqliteDriver) -> None:
    commit(source, [put("job", f"large {number}", b" " * 3_000_000, 1) for number in range(12)])
    target.max_value = 2_999_999
    with pytest.raises(
        StoreRefused, match=r"at most 2,999,999 bytes, .* job large 0 \(3,000,000 bytes\), .* and 2 more"
    ):
        moved(source, target)
    assert holding(target) == Holding({}, [], {})
    assert target.get(*MARK) is None


def test_larger_outputs_than_the_target_takes_are_cut(source: SqliteDriver, target: SqliteDriver) -> None:
    # given a process that printed much, and an HTTP answer that was long
    data = bytes(range(200)) * 1_000
    tried = (replace(attempt(), output_size=900_000), replace(attempt(number=2), output_size=200_000, status=200))
    long = run("long", state=State.SUCCEEDED, attempts=tried)
    outputs = (Output("long", 1, data, 900_000), Output("long", 2, data, 200_000))
    commit(source, [Element("setting", "nothing", 0, 1, None, (long,), outputs)])
    target.max_output = 65_536
    report = moved(source, target)
    assert report.cut == 2
    assert target.output("long") == [
        Output("long", 1, data[-65_536:], 900_000),
        Output("long", 2, data[:65_536], 200_000),
    ]
    assert source.output("long") == list(outputs)
    assert all(one == other for _, one, other in report.lines)


def refused(source: Driver, target: Driver) -> str:
    before = holding(source), holding(target)
    with pytest.raises(StoreRefused) as caught:
        moved(source, target)
    assert (holding(source), holding(target)) == before
    return str(caught.value)


def test_what_cannot_be_moved_at_all(source: SqliteDriver, target: SqliteDriver, tmp_path: Path) -> None:
    assert refused(target, MemoryDriver()) == (
        f"{target.place} holds neither jobs nor history: there is nothing to move"
    )
    link = tmp_path / "link.db"
    link.symlink_to(source.path)
    for same in (SqliteDriver(source.path), SqliteDriver(link)):
        same.open()
        assert refused(source, same).endswith("are the same database")
        same.close()
    commit(target, [put("setting", "pause", b"{}", 1)])
    assert "it holds 0 jobs, 1 settings and 0 rows of history. Name an empty database" in refused(source, target)
    commit(target, [put("job", "one", b"{}", 1), *map(row, range(1_100))])
    assert "it holds 1 jobs, 1 settings and 1,000 or more rows of history" in refused(source, target)
    commit(source, [put(*MARK, b"{}", 1)])
    assert "not finished: not all is there" in refused(source, MemoryDriver())


def test_the_mark_of_another_version(source: SqliteDriver, target: SqliteDriver) -> None:
    commit(target, [put(*MARK, b'{"format": 2}', 1)])
    assert "the beginning of another move, of what this version of the program does not know" in refused(source, target)


def test_who_works_on_either_side(source: SqliteDriver, target: SqliteDriver) -> None:
    on_source, on_target = Lease(source, "here"), Lease(target, "there")
    on_target.take(shared=False)
    assert refused(source, target).startswith(f"a daemon works on {target.place}: there (pid ")
    on_source.take(shared=False)
    assert refused(source, target).startswith(f"a daemon works on {source.place}: here (pid ")
    on_source.give_back()
    on_target.give_back()
    before = holding(source)
    moved(source, target)
    assert holding(target) == before


def test_one_that_starts_on_the_target_just_now(source: SqliteDriver, target: SqliteDriver) -> None:
    """It had looked for a mark before there was one, and is seen by the move that has put it there."""
    guest = Lease(target, "guest")

    def heard(title: str) -> None:
        if title == "reading" and guest.instance.until == 0:
            guest.take(shared=True)

    with pytest.raises(StoreRefused, match=r"a daemon works on .*: guest"):
        moved(source, target, Told(heard))
    assert holding(target) == Holding({}, [], {})
    # and one that starts after it sees the mark
    guest.give_back()
    with pytest.raises(StoreUnavailable):
        moved(source, Stormy(target, lambda number: number == 3, after=False))  # type: ignore[arg-type]
    late = Lease(target, "late")
    with pytest.raises(StoreRefused, match="not finished"):
        late.take(shared=True)
    assert not late.valid()
    moved(source, target)


def test_one_elsewhere_is_given_the_time_of_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = [Clock().now()]
    source = MemoryDriver(lambda: hands[0])
    fill(source, jobs=3, rows=3)
    there = Lease(source, "there")
    there.instance = replace(there.instance, host="elsewhere", boot="another")
    there.take(shared=True)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        hands[0] += round(seconds * SECOND)

    monkeypatch.setattr(lease.time, "sleep", sleep)
    moved(source, MemoryDriver())
    assert lease.TTL <= sum(slept) <= lease.TTL + 1

    # and one that renews meanwhile lives
    there.renew()

    def renewing(seconds: float) -> None:
        sleep(seconds)
        there.renew()

    monkeypatch.setattr(lease.time, "sleep", renewing)
    with pytest.raises(StoreRefused, match=r"there .*on elsewhere"):
        moved(source, MemoryDriver())


def test_two_moves_at_once(source: SqliteDriver, target: SqliteDriver) -> None:
    """The second goes on with what the first has begun, and the first is told."""
    before, todo = holding(source), [1]

    def heard(title: str) -> None:
        if title == "copying" and todo and target.runs(reading.RunQuery(limit=1)).runs:
            todo.pop()
            moved(SqliteDriver(source.path), SqliteDriver(target.path))

    with pytest.raises(KalaError, match="another `kala move` into this database is under way"):
        moved(source, target, Told(heard))
    assert holding(target) == before
    refuse_unfinished(target)
