from uuid import RFC_4122, UUID

from kala.ids import new_id


def test_ids_are_version_7_distinct_and_begin_with_the_time() -> None:
    ids = [new_id() for _ in range(1000)]

    assert {(UUID(one).version, UUID(one).variant) for one in ids} == {(7, RFC_4122)}
    assert len(set(ids)) == 1000
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)
