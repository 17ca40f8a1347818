from uuid import RFC_4122, UUID

import pytest

from kala.ids import new_id, new_ids


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_ids_are_version_7_distinct_and_begin_with_the_time(at_once: int) -> None:
    ids = [one for _ in range(2000 // at_once) for one in ([new_id()] if at_once == 1 else new_ids(at_once))]

    assert len(ids) == len(set(ids)) == 2000 // at_once * at_once
    assert [str(UUID(one)) for one in ids] == ids
    assert {(UUID(one).version, UUID(one).variant) for one in ids} == {(7, RFC_4122)}
    assert {one[19] for one in ids} == set("89ab")
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)


def test_of_no_ids_there_are_none() -> None:
    assert new_ids(0) == []
