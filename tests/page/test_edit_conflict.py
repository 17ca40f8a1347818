"""Editing a job that others change or delete meanwhile."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from daemon_process import API, KalaProcess
from playwright.sync_api import Locator, Page, expect

from .window import Window

pytestmark = pytest.mark.slow


def name(page: Page) -> Locator:
    return page.get_by_label("Name", exact=True)


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def patches(window: Window) -> list[tuple[str, Any]]:
    """What the page sends from now on: `If-Match` and the body."""
    sent: list[tuple[str, Any]] = []

    def note(request: Any) -> None:
        if request.method == "PATCH":
            sent.append((request.headers.get("if-match", ""), request.post_data_json))

    window.page.on("request", note)
    return sent


def change(kala: KalaProcess, job_id: str, **members: Any) -> None:
    assert kala.patch(f"{API}/job/{job_id}/", members).status == 200


@pytest.fixture
def deaf(window: Window) -> Window:
    """A window that hears of no change by events: it learns of them when it saves."""
    window.page.route_web_socket(
        "**/events/**",
        lambda socket: socket.connect_to_server().on_message(
            lambda message: socket.send(message) if "hello" in str(message) else None
        ),
    )
    return window


def test_only_what_was_changed_is_sent(window: Window, kala: KalaProcess) -> None:
    job_id = kala.create(
        name="a", retries=3, labels={"x": "1", "y": "2"}, environment={"A": "1"}, owner="me", output_limit=9
    )
    page = window.go("edit", id=job_id)
    sent = patches(window)
    expect(page.get_by_role("heading", level=1)).to_have_text("Edit a")
    name(page).fill("b")
    page.get_by_label("Retries", exact=True).fill("")
    page.get_by_label("Labels").fill("y=2")
    page.get_by_label("Environment variables").fill("")
    save(page)
    expect(page).to_have_url(re.compile(f"view=job&id={job_id}"))
    assert sent == [('"1"', {"name": "b", "retries": None, "labels": {"x": None}, "environment": None})]
    job = kala.job(job_id)
    assert (job["name"], job["retries"], job["labels"], job["environment"]) == ("b", 0, {"y": "2"}, None)
    assert (job["owner"], job["output_limit"], job["version"]) == ("me", 9, 2)


def test_the_call_of_a_remote_job_is_changed_by_its_parts(window: Window, kala: KalaProcess) -> None:
    call = {"url": "http://127.0.0.1:9/", "method": "PUT", "headers": {"X-A": ["1"], "X-B": ["2"]}, "timeout": 5}
    job_id = kala.create(type=1, command="", remote_properties=call)
    page = window.go("edit", id=job_id)
    sent = patches(window)
    page.get_by_label("Method").fill("POST")
    page.get_by_label("Time for the call").fill("")
    page.get_by_label("Headers").first.fill("X-B: 2")
    save(page)
    expect(page).to_have_url(re.compile("view=job"))
    assert sent[0][1] == {"remote_properties": {"method": "POST", "timeout": None, "headers": {"X-A": None}}}
    assert kala.job(job_id)["remote_properties"] == {
        **call, "method": "POST", "timeout": 0, "body": "", "headers": {"X-B": ["2"]}, "expected_response_codes": None,
    }  # fmt: skip


def test_nothing_changed_is_nothing_sent(window: Window, kala: KalaProcess) -> None:
    job_id = kala.create()
    page = window.go("edit", id=job_id)
    sent = patches(window)
    expect(name(page)).to_have_value("job")
    save(page)
    expect(page).to_have_url(re.compile("view=job&"))
    assert sent == []
    assert kala.job(job_id)["version"] == 1


def test_a_change_by_somebody_else_is_told_at_once(window: Window, kala: KalaProcess) -> None:
    job_id = kala.create(name="a", owner="x")
    page = window.go("edit", id=job_id)
    expect(name(page)).to_have_value("a")
    name(page).fill("mine")
    change(kala, job_id, owner="theirs")
    expect(page.locator(".banner.warn")).to_contain_text("Somebody else has changed this job")
    page.get_by_role("button", name="See what differs").click()
    page.get_by_role("button", name="Back to the form").click()
    expect(name(page)).to_have_value("mine")
    page.get_by_role("button", name="See what differs").click()
    expect(page.get_by_role("heading", name="Somebody else has changed this job")).to_be_focused()
    # neither has touched what the other has
    expect(page.get_by_label("Name: mine")).to_be_checked()
    expect(page.get_by_label("Owner: theirs")).to_be_checked()
    page.get_by_role("button", name="Save as chosen").click()
    expect(page).to_have_url(re.compile("view=job&"))
    job = kala.job(job_id)
    assert (job["name"], job["owner"], job["version"]) == ("mine", "theirs", 3)


def test_runs_are_no_changes(window: Window, kala: KalaProcess) -> None:
    job_id = kala.create(name="a")
    other = kala.create(name="other")
    page = window.go("edit", id=job_id)
    expect(name(page)).to_have_value("a")
    window.note_events()
    assert kala.post(f"{API}/job/start/{job_id}/").status == 204
    change(kala, other, name="others are another matter")
    window.wait_true("window.heard.some((one) => one.type === 'job.saved')")  # the last of them
    with page.expect_response("**/job/?brief=true**"):  # what it would read then is there before that
        page.get_by_text("Other jobs").click()
        page.locator('[data-path="parent_jobs"] input').fill("other")
    expect(page.locator(".banner.warn")).to_have_count(0)
    save(page)
    expect(page).to_have_url(re.compile("view=job&"))


def both_change(window: Window, kala: KalaProcess) -> tuple[Page, str]:
    """The same member by both, and one more by each; the page has been refused with 412."""
    job_id = kala.create(name="was", owner="was", command="true")
    page = window.go("edit", id=job_id)
    expect(name(page)).to_have_value("was")
    name(page).fill("mine")
    page.get_by_label("Command").fill("echo mine")
    change(kala, job_id, name="theirs", owner="theirs")
    with page.expect_response(lambda answer: answer.status == 412):
        save(page)
    row = page.get_by_role("row", name="Name")
    expect(row.get_by_role("cell")).to_have_text(["was", "theirs", "mine"])
    assert [one.inner_text() for one in page.locator("form tbody th").all()] == ["Name", "Command", "Owner"]
    expect(page.get_by_label("Name: theirs")).not_to_be_checked()
    expect(page.get_by_label("Name: mine")).not_to_be_checked()
    return page, job_id


def test_mine_is_kept(deaf: Window, kala: KalaProcess) -> None:
    page, job_id = both_change(deaf, kala)
    page.get_by_role("button", name="Keep mine").click()
    expect(page).to_have_url(re.compile("view=job&"))
    job = kala.job(job_id)
    assert (job["name"], job["owner"], job["command"], job["version"]) == ("mine", "theirs", "echo mine", 3)


def test_theirs_is_taken(deaf: Window, kala: KalaProcess) -> None:
    page, job_id = both_change(deaf, kala)
    page.get_by_role("button", name="Take theirs").click()
    expect(name(page)).to_have_value("theirs")
    expect(page.get_by_label("Command")).to_have_value("true")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert kala.job(job_id)["version"] == 2
    name(page).fill("on theirs")
    save(page)
    expect(page).to_have_url(re.compile("view=job&"))
    job = kala.job(job_id)
    assert (job["name"], job["owner"], job["command"], job["version"]) == ("on theirs", "theirs", "true", 3)


def test_member_by_member(deaf: Window, kala: KalaProcess) -> None:
    page, job_id = both_change(deaf, kala)
    page.get_by_role("button", name="Save as chosen").click()
    expect(page.get_by_label("Name: theirs")).to_be_focused()  # the browser says that one is to be chosen
    assert kala.job(job_id)["version"] == 2
    page.get_by_label("Name: theirs").check()
    page.get_by_label("Owner: mine").check()
    page.get_by_role("button", name="Save as chosen").click()
    expect(page).to_have_url(re.compile("view=job&"))
    job = kala.job(job_id)
    assert (job["name"], job["owner"], job["command"], job["version"]) == ("theirs", "was", "echo mine", 3)


def test_changed_again_while_one_chooses(deaf: Window, kala: KalaProcess) -> None:
    page, job_id = both_change(deaf, kala)
    change(kala, job_id, name="once more")
    page.get_by_role("button", name="Keep mine").click()
    expect(page.get_by_role("row", name="Name").get_by_role("cell")).to_have_text(["theirs", "once more", "mine"])
    page.get_by_role("button", name="Keep mine").click()
    expect(page).to_have_url(re.compile("view=job&"))
    assert kala.job(job_id)["name"] == "mine"


@pytest.mark.parametrize("hears", [True, False])
def test_deleted_meanwhile(window: Window, kala: KalaProcess, hears: bool, request: pytest.FixtureRequest) -> None:
    if not hears:
        request.getfixturevalue("deaf")
    job_id = kala.create(name="a", retries=2)
    page = window.go("edit", id=job_id)
    expect(name(page)).to_have_value("a")
    name(page).fill("phoenix")
    assert kala.delete(f"{API}/job/{job_id}/").status == 204
    if not hears:
        save(page)
    expect(page.locator(".banner.bad")).to_contain_text("deleted meanwhile")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Make it anew").click()
    expect(page).to_have_url(re.compile(r"view=edit$"))
    expect(name(page)).to_have_value("phoenix")
    page.get_by_role("button", name="Create the job").click()
    expect(page).to_have_url(re.compile("view=job&id="))
    ((new_id, job),) = kala.jobs().items()
    assert new_id != job_id
    assert (job["name"], job["retries"]) == ("phoenix", 2)


def test_the_question_is_accessible(
    deaf: Window, kala: KalaProcess, check_accessible: Callable[[Window], None]
) -> None:
    both_change(deaf, kala)
    check_accessible(deaf)
