"""What `kala apply` would do, decided without a daemon."""

from typing import Any

import pytest

from kala.client import definitions
from kala.client.documents import Document
from kala.client.faults import FilesFaulty
from kala.client.links import Names
from kala.client.plan import planned

FAR = "R/2100-01-01T00:00:00Z/P1D"


def there(name: str, **members: Any) -> dict[str, Any]:
    """A job as a daemon answers it; its id is its name with a sign before it."""
    return {"id": f"#{name}", "name": name, "command": "true", "schedule": FAR, "version": 1, **members}


def steps(files: list[dict[str, Any]], *jobs: dict[str, Any], prune: tuple[str, ...] | None = None) -> dict[str, str]:
    read = [Document("f", "", {"command": "true", "schedule": FAR, **one}) for one in files]
    return {step.name: step.kind for step in planned(read, jobs, now=0, prune=prune)}


@pytest.mark.parametrize("said", [{}, {"owner": None, "disabled": None}])
def test_an_owner_that_is_null_is_not_said(said: dict[str, Any]) -> None:
    assert steps([{"name": "a", **said}], there("a", owner="o", disabled=True)) == {"a": "unchanged"}


def test_a_child_goes_with_all_of_its_parents_only() -> None:
    both = {"labels": {"by": "files"}}
    jobs = [there("gone", **both), there("stays"), there("child", schedule="", parent_jobs=["#gone", "#stays"])]
    assert steps([], *jobs, prune=("by=files",)) == {"gone": "delete"}
    jobs[1] |= both
    with pytest.raises(FilesFaulty):
        steps([], *jobs, prune=("by=files",))


@pytest.mark.parametrize(("label", "gone"), [("by", ["a", "b"]), ("by=x", ["a"]), ("by=", ["b"]), ("to", [])])
def test_a_label_with_an_equals_sign_is_one_with_that_value(label: str, gone: list[str]) -> None:
    jobs = [there("a", labels={"by": "x"}), there("b", labels={"by": ""}), there("c")]
    assert list(steps([], *jobs, prune=(label,))) == gone


def test_a_job_is_called_by_its_name_where_that_is_no_id() -> None:
    names = Names(
        [{"id": "1", "name": "a"}, {"id": "2", "name": "1"}, {"id": "3", "name": "b"}, {"id": "4", "name": "b"}]
    )
    assert [names.called(one) for one in ("1", "2", "3", "5")] == ["a", "2", "3", "5"]


def test_a_content_type_of_ones_own_is_kept() -> None:
    call = {"url": "http://a.example/", "headers": {"Content-Type": ["text/xml"], "X-A": ["1"]}}
    read = definitions.of_job({"name": "a", "type": 1, "remote_properties": call})
    assert read["remote_properties"]["headers"] == call["headers"]
    call["headers"] = {"Content-Type": ["application/json"]}
    read = definitions.of_job({"name": "a", "type": 1, "remote_properties": call})
    assert read["remote_properties"]["headers"] is None
