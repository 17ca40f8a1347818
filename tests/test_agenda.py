"""Moments in order."""

from hypothesis import given
from hypothesis import strategies as st

from kala.agenda import Agenda

PUTS = st.lists(st.tuples(st.sampled_from("ABCDE"), st.none() | st.integers(-3, 20)))


def agenda(*entries: tuple[str, int | None]) -> Agenda:
    made = Agenda()
    for job_id, moment in entries:
        made.put(job_id, moment)
    return made


def test_what_is_due_comes_out_in_order() -> None:
    made = agenda(("C", 3), ("A", 1), ("B", 2), ("D", 4))
    assert (made.head(), len(made)) == (1, 4)
    assert made.pop_until(0) == []
    assert made.pop_until(3) == [(1, "A"), (2, "B"), (3, "C")]
    assert (made.head(), len(made)) == (4, 1)
    assert made.pop_until(9) == [(4, "D")]
    assert (made.head(), len(made)) == (None, 0)


def test_so_many_of_what_is_due_come_out_and_the_rest_stays() -> None:
    made = agenda(("C", 3), ("A", 1), ("B", 1), ("D", 4))
    assert made.pop_until(3, 0) == []
    assert made.pop_until(3, 2) == [(1, "A"), (1, "B")]
    assert made.pop_until(3, 2) == [(3, "C")]
    assert made.head() == 4


@given(st.dictionaries(st.sampled_from("ABCDE"), st.integers(-3, 20)), PUTS)
def test_filled_at_once_it_is_as_if_each_had_been_put(entries: dict[str, int], puts: list[tuple[str, int]]) -> None:
    filled = Agenda()
    filled.fill((moment, job_id) for job_id, moment in entries.items())
    put = agenda(*entries.items(), *puts)
    for job_id, moment in puts:
        filled.put(job_id, moment)
    assert (len(filled), filled.head()) == (len(put), put.head())
    assert filled.pop_until(100) == put.pop_until(100)


@given(PUTS, st.integers(0, 7))
def test_the_first_are_told_and_stay(puts: list[tuple[str, int | None]], count: int) -> None:
    made = agenda(*puts)
    last = dict(puts)
    inside = sorted((moment, job_id) for job_id, moment in last.items() if moment is not None)
    assert made.first(count) == inside[:count]
    assert made.pop_until(100) == inside


def test_a_job_is_moved_or_struck_out() -> None:
    made = agenda(("A", 1), ("B", 2), ("A", 5), ("B", None), ("X", None))
    assert (made.head(), len(made)) == (5, 1)
    made.put("A", 3)
    assert made.pop_until(9) == [(3, "A")]


def test_moved_away_and_back_it_comes_out_once() -> None:
    made = agenda(("A", 1), ("A", 5), ("A", 1))
    assert made.pop_until(9) == [(1, "A")]
    made.put("A", 5)
    assert made.pop_until(9) == [(5, "A")]
    assert made.pop_until(9) == []


@given(steps=st.lists(st.tuples(PUTS, st.integers(-3, 20))))
def test_it_is_a_sorted_table(steps: list[tuple[list[tuple[str, int | None]], int]]) -> None:
    made, table = Agenda(), dict[str, int]()
    for puts, until in steps:
        for job_id, moment in puts:
            made.put(job_id, moment)
            if moment is None:
                table.pop(job_id, None)
            else:
                table[job_id] = moment
        assert len(made) == len(table)
        assert made.head() == min(table.values(), default=None)
        due = sorted((moment, job_id) for job_id, moment in table.items() if moment <= until)
        assert made.pop_until(until) == due
        for _, job_id in due:
            del table[job_id]


def test_memory_does_not_grow_with_moves() -> None:
    made = agenda(("A", 0))
    for moment in range(100_000):
        made.put("B", 10**9 - moment)  # always before the former, so that none surfaces
    assert len(made._heap) <= 2 * 2 + 1001
    assert made.pop_until(10**9) == [(0, "A"), (10**9 - 99_999, "B")]
