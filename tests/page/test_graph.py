"""The graph of a job's parents and children: what is read for it, its layers, and how it is shown."""

import re
from typing import Any

import pytest
from daemon_process import API
from playwright.sync_api import expect

from .window import Window

pytestmark = pytest.mark.slow

AROUND = """async (m, [jobs, id]) => {
    const asked = [];
    const read = async (ids) => {
        asked.push(ids);
        return Object.fromEntries(ids.filter((one) => jobs[one]).map((one) => [one, {id: one, ...jobs[one]}]));
    };
    const found = await m.around(id, read);
    return {jobs: [...found.jobs.keys()], more: Object.fromEntries(found.more), asked};
}"""


def around(window: Window, jobs: dict[str, dict[str, Any]], job_id: str) -> dict[str, Any]:
    found = window.evaluate_module("parts/graph.js", AROUND, [jobs, job_id])
    return dict(found)


def chain(names: str) -> dict[str, dict[str, Any]]:
    """Jobs of one letter each, each the parent of the next."""
    return {
        one: {"parent_jobs": [before] if before else [], "dependent_jobs": [after] if after else []}
        for before, one, after in zip(["", *names], names, [*names[1:], ""], strict=False)
    }


def test_three_steps_each_way(window: Window) -> None:
    window.go()
    found = around(window, chain("abcdefghijk"), "f")
    assert sorted(found["jobs"]) == list("cdefghi")
    assert found["more"] == {"c": 1, "i": 1}


def test_failure_jobs_are_followed(window: Window) -> None:
    window.go()
    jobs = {"a": {"on_failure_job": "b"}, "b": {"dependent_jobs": ["c"]}, "c": {"parent_jobs": ["b"]}}
    assert sorted(around(window, jobs, "a")["jobs"]) == ["a", "b", "c"]


def test_bounded(window: Window) -> None:
    window.go()
    children = [f"child {place}" for place in range(1_000)]
    jobs: dict[str, dict[str, Any]] = {"a": {"dependent_jobs": children}}
    jobs |= {one: {"parent_jobs": ["a"]} for one in children}
    found = around(window, jobs, "a")
    assert len(found["jobs"]) == 60
    assert found["more"] == {"a": 941}


def test_circles_and_gone_ones_do_not_hold_it_up(window: Window) -> None:
    window.go()
    jobs = {
        "a": {"parent_jobs": ["b"], "dependent_jobs": ["b", "gone"], "on_failure_job": "a"},
        "b": {"parent_jobs": ["a"], "dependent_jobs": ["a"]},
    }
    found = around(window, jobs, "a")
    assert sorted(found["jobs"]) == ["a", "b"]
    layers = window.evaluate_module(
        "parts/graph.js",
        "(m, jobs) => m.layers(['a', 'b'], m.edgesOf(new Map(jobs.map((job) => [job.id, job]))))",
        [{"id": one, **job} for one, job in jobs.items()],
    )
    assert sorted(one for layer in layers for one in layer) == ["a", "b"]


@pytest.mark.parametrize(
    ("edges", "wanted"),
    [
        ("ab bc", [["a"], ["b"], ["c"]]),
        ("ab bc ac", [["a"], ["b"], ["c"]]),  # right of all that it follows
        ("ab bc cd xd", [["a"], ["b"], ["c", "x"], ["d"]]),  # beside what it leads to
        ("ac bd", [["a", "b"], ["c", "d"]]),
        ("ad bc", [["a", "b"], ["d", "c"]]),  # uncrossed
    ],
)
def test_layers(window: Window, edges: str, wanted: list[list[str]]) -> None:
    window.go()
    pairs = [{"from": one[0], "to": one[1], "fails": False} for one in edges.split()]
    ids = sorted({letter for one in edges.split() for letter in one})
    assert window.evaluate_module("parts/graph.js", "(m, [ids, edges]) => m.layers(ids, edges)", [ids, pairs]) == wanted


def test_shown_followed_and_live(window: Window) -> None:
    kala = window.kala
    alarm = kala.create(name="alarm")
    parent = kala.create(name="<b>parent</b>")
    job_id = kala.create(name="middle", command="exit 1", shell=True, parent_jobs=[parent], on_failure_job=alarm)
    child = kala.create(name="child", parent_jobs=[job_id])
    page = window.go("job", id=job_id)
    graph = page.locator(".graph")
    expect(graph.get_by_role("link")).to_have_count(4)
    expect(graph.locator(".fails")).to_have_count(1)
    expect(graph.get_by_role("link", name="no run yet")).to_have_count(4)
    assert kala.post(f"{API}/job/start/{parent}/").status == 204
    expect(graph.get_by_role("link", name="succeeded <b>parent</b>")).to_be_visible()
    expect(graph.get_by_role("link", name="failed middle")).to_be_visible()
    expect(graph.get_by_role("link", name="succeeded alarm")).to_be_visible()
    expect(graph.get_by_role("link", name="no run yet child")).to_be_visible()
    lefts = {
        name: graph.get_by_role("link", name=name).bounding_box()
        for name in ("<b>parent", "failed middle", "yet child")
    }
    assert [box["x"] for box in lefts.values() if box] == sorted(box["x"] for box in lefts.values() if box)
    kala.create(name="another child", parent_jobs=[job_id])
    expect(graph.get_by_role("link", name="another child")).to_be_visible()
    graph.get_by_role("link", name="no run yet child").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"view=job&id={child}"))
    expect(page.get_by_role("heading", level=1)).to_have_text("child")
