"""What is wrong with a job that is being made, beside its members and in its JSON."""

import json

import pytest
from daemon_process import API, KalaProcess
from playwright.sync_api import expect

from .jobform import LATER, as_json, create, fault, field, made, name, open_all
from .window import Window

pytestmark = pytest.mark.slow


def test_faults_are_beside_their_members_and_above_all(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    open_all(page)
    page.locator("#json").fill(json.dumps({
        "command": "true", "schedule": "R/2000-01-01T00:00:00Z/P1D", "retries": "many", "directory": "here",
        "environment": {"1X": "a", "OK": "b"}, "labels": {"!": "x"}, "parent_jobs": ["gone"], "timeout": "PT0S",
        "notify": [{"url": "http://127.0.0.1:9/"}, {"url": "ftp://x", "every": "soon"}],
    }))  # fmt: skip
    create(page)
    above = page.locator(".wrong")
    expect(above.get_by_role("heading")).to_be_focused()
    refused = kala.post(f"{API}/job/", as_json(page)).json["fields"]
    expect(above.locator("li")).to_have_count(len(refused))
    for path in ("name", "retries", "directory", "timeout"):
        expect(fault(page, path)).to_have_text(refused[path])
        expect(field(page, path).locator("[aria-invalid=true]")).to_have_count(1)
    for path, rest in (("environment", "1X"), ("labels", "!")):
        expect(fault(page, path)).to_have_text(f"{rest} {refused[f'{path}.{rest}']}")
        expect(field(page, path).locator("[aria-invalid=true]")).to_have_count(1)
    second = field(page, "notify").locator(".panel").nth(1)
    expect(second.locator('[data-path="url"] .fault').first).to_have_text(refused["notify[1].url"])
    expect(second.locator('[data-path="every"] .fault').first).to_have_text(refused["notify[1].every"])
    expect(field(page, "notify").locator(".panel").nth(0).locator("[aria-invalid=true]")).to_have_count(0)
    # the links lead to the members, also within what is folded
    page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = false; })")
    create(page)
    expect(above.get_by_role("heading")).to_be_focused()
    above.get_by_role("button", name="Working folder").click()
    expect(page.get_by_label("Working folder")).to_be_focused()
    # what is changed is at fault no more
    page.get_by_label("Working folder").fill("/tmp")
    expect(fault(page, "directory")).to_be_hidden()
    expect(field(page, "directory").locator("[aria-invalid]")).to_have_count(0)
    expect(fault(page, "retries")).to_be_visible()


def test_a_fault_of_nothing_in_the_form_is_told_above(window: Window) -> None:
    page = window.go("edit")
    name(page).fill("x")
    page.route(
        "**/api/v1/job/", lambda route: route.fulfill(status=400, json={"error": "no", "fields": {"": "all is wrong"}})
    )
    create(page)
    expect(page.locator(".wrong li")).to_have_text("all is wrong")


def test_a_name_that_is_there_twice_is_refused(window: Window) -> None:
    page = window.go("edit")
    name(page).fill("x")
    page.get_by_label("Command").fill("true")
    page.get_by_label("Labels").fill("team=one\nteam=two")
    assert as_json(page)["labels"] == {"team": ["one", "two"]}
    create(page)
    expect(fault(page, "labels")).to_contain_text("team must be text, not a list")


def test_lines_of_names_and_texts_show_what_they_stand_for(window: Window) -> None:
    page = window.go("edit")
    page.get_by_text("JSON", exact=True).click()
    environment = {"A": "x=y", "B": "one\n two\n", "C": ""}
    call = {"headers": {"X": ["1", "2"]}}
    page.locator("#json").fill(json.dumps({"environment": environment, "remote_properties": call}))
    expect(page.get_by_label("Environment variables")).to_have_value("A=x=y\nB=one\n  two\n \nC=")
    expect(page.get_by_label("Headers").first).to_have_value("X: 1\nX: 2")
    page.get_by_label("Environment variables").press("Control+End")
    page.get_by_label("Environment variables").press_sequentially("z")
    assert as_json(page) == {"environment": {**environment, "C": "z"}, "remote_properties": call}


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) - 100])
def test_a_name_of_a_mebibyte(window: Window, size: int) -> None:
    """It is refused, by its length or by that of the whole request; nothing in it is markup; the page goes on."""
    page = window.go("edit")
    page.get_by_label("Command").fill("true")
    name(page).fill(("<img src=x onerror=alert(1)>" * (size // 28 + 1))[:size])
    create(page)
    expect(fault(page, "name")).to_be_visible()
    expect(page.locator(".wrong")).to_contain_text("Name")
    assert page.locator("main img").count() == 0
    name(page).fill("short")
    expect(fault(page, "name")).to_be_hidden()
    create(page)
    made(page)


# JSON.


def test_json_and_form_are_in_step(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    page.get_by_text("JSON", exact=True).click()
    name(page).fill("one")
    page.get_by_label("Kind of job").select_option("an HTTP call")
    page.get_by_label("URL").first.fill("http://127.0.0.1:9/")
    assert as_json(page) == {"name": "one", "type": 1, "remote_properties": {"url": "http://127.0.0.1:9/"}}
    page.get_by_label("Kind of job").select_option("a command")
    page.get_by_label("URL").first.fill("")
    assert as_json(page) == {"name": "one"}
    text = {"NAME": "two", "retries": 4, "labels": {"a": "b"}, "schedule": LATER, "overlap": "skip", "command": "true"}
    page.locator("#json").fill(json.dumps(text))
    expect(name(page)).to_have_value("two")
    expect(page.get_by_label("Retries", exact=True)).to_have_value("4")
    expect(page.get_by_label("Retries", exact=True)).to_be_visible()  # its group is unfolded
    expect(page.get_by_label("When a run is still on")).to_have_value("skip")
    expect(page.get_by_label("Labels")).to_have_value("a=b")
    expect(page.get_by_role("combobox", name="Runs", exact=True)).to_have_value("every")
    page.get_by_label("Retries", exact=True).fill("5")
    assert as_json(page)["retries"] == 5
    create(page)
    assert kala.job(made(page))["retries"] == 5


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"name": "x",}', "line 1 column 14"),
        ('{\n  "name": nope\n}', "nope"),
        ('{"name": "x"', "line 1 column 13"),
        ('{"a": "b"} c', "line 1 column 12"),
        ("", "end of JSON"),
        ("[1]", "must be an object"),
        ("null", "must be an object"),
        ('{"a": "x\n"}', "line 1 column 9"),
    ],
)
def test_json_that_is_none_says_where(window: Window, text: str, where: str) -> None:
    page = window.go("edit")
    name(page).fill("stays")
    page.get_by_text("JSON", exact=True).click()
    page.locator("#json").fill(text)
    expect(page.locator("#json-fault")).to_contain_text(where)
    expect(page.locator("#json")).to_have_attribute("aria-invalid", "true")
    create(page)
    expect(page.locator("#json")).to_be_focused()
    expect(name(page)).to_have_value("stays")
    page.locator("#json").fill('{"name": "right"}')
    expect(page.locator("#json-fault")).to_be_empty()
    expect(name(page)).to_have_value("right")


def test_members_that_there_are_not_are_kept_and_told(window: Window) -> None:
    page = window.go("edit")
    page.get_by_text("JSON", exact=True).click()
    page.locator("#json").fill('{"name": "x", "colour": "red", "notify": [{"url": "", "loud": true}]}')
    expect(page.locator("#json-fault")).to_contain_text("colour, notify[0].loud")
    name(page).fill("y")
    assert as_json(page) == {"name": "y", "colour": "red", "notify": [{"url": "", "loud": True}]}
