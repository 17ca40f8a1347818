"""What is filled in is not lost, nor made twice; keys, copies, and who cannot see."""

import re
from collections.abc import Callable

import pytest
from daemon_process import KalaProcess
from playwright.sync_api import Dialog, Route, expect

from .jobform import create, field, made, name, open_all
from .window import Window

pytestmark = pytest.mark.slow


def test_leaving_asks(window: Window) -> None:
    page = window.go("edit")
    asked: list[str] = []
    answers = iter([False, True])

    def decide(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept() if next(answers) else dialog.dismiss()

    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page).to_have_url(re.compile("view=jobs"))
    page.go_back()
    name(page).fill("unsaved")
    page.on("dialog", decide)
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(name(page)).to_have_value("unsaved")
    assert len(asked) == 1
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page).to_have_url(re.compile("view=jobs"))
    assert len(asked) == 2


def test_the_way_back_asks_too(window: Window) -> None:
    page = window.go("jobs")
    page.get_by_role("link", name="New job").first.click()
    name(page).fill("unsaved")
    with page.expect_event("dialog") as asked:
        page.evaluate("history.back()")
    asked.value.dismiss()
    expect(page).to_have_url(re.compile("view=edit"))
    expect(name(page)).to_have_value("unsaved")
    with page.expect_event("dialog") as asked:
        page.evaluate("history.back()")
    asked.value.accept()
    expect(page).to_have_url(re.compile("view=jobs"))


def test_closing_the_tab_asks(window: Window) -> None:
    page = window.go("edit")
    name(page).fill("unsaved")
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    expect(name(page)).to_have_value("unsaved")


def test_a_lost_answer_makes_one_job(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    name(page).fill("once only")
    page.get_by_label("Command").fill("true")

    def lose(route: Route) -> None:
        route.fetch()  # the daemon makes it, and nobody hears of it
        route.abort()

    page.route("**/api/v1/job/", lose, times=1)
    create(page)
    expect(page.locator(".wrong")).to_contain_text("does not answer. The form is kept")
    expect(name(page)).to_have_value("once only")
    create(page)
    job_id = made(page)
    assert list(kala.jobs()) == [job_id]


def test_a_lost_answer_and_another_job_after_it(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    name(page).fill("first")
    page.get_by_label("Command").fill("true")
    page.route("**/api/v1/job/", lambda route: [route.fetch(), route.abort()], times=1)
    create(page)
    expect(page.locator(".wrong")).to_contain_text("does not answer")
    name(page).fill("second")
    create(page)
    expect(page.locator(".wrong")).to_contain_text("An earlier try")
    create(page)
    made(page)
    assert sorted(job["name"] for job in kala.jobs().values()) == ["first", "second"]


def test_two_clicks_make_one_job(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    name(page).fill("one")
    page.get_by_label("Command").fill("true")
    page.evaluate(
        "() => { const one = [...document.querySelectorAll('button')].find((b) => b.textContent === 'Create the job');"
        " one.click(); one.click(); }"
    )
    made(page)
    assert len(kala.jobs()) == 1


def test_while_the_daemon_is_away_the_form_is_kept(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    name(page).fill("kept")
    page.get_by_label("Command").fill("true")
    kala.kill()
    expect(page.locator("#live")).to_have_attribute("data-state", "lost")
    create(page)
    expect(page.locator(".wrong")).to_contain_text("The form is kept")
    expect(name(page)).to_have_value("kept")
    window.restart_daemon()
    window.wait_live()
    create(page)
    assert kala.job(made(page))["name"] == "kept"


# Keys, copies, and who cannot see.


def test_by_keys_alone(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    page.keyboard.type("typed")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("sleep 0")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")  # the next group's heading
    page.keyboard.press("Tab")
    runs = page.get_by_role("combobox", name="Runs", exact=True)
    expect(runs).to_be_focused()
    for mode in ("at", "every", "cron"):
        page.keyboard.press("ArrowDown")
        expect(runs).to_have_value(mode)
    expect(page.get_by_label("Schedule", exact=True)).to_have_value("0 8 * * *")
    page.keyboard.press("Control+Enter")
    job = kala.job(made(page))
    assert (job["name"], job["command"], job["shell"], job["schedule"]) == ("typed", "sleep 0", True, "0 8 * * *")


def test_enter_in_a_line_saves_nothing(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    page.get_by_label("Command").fill("true")
    name(page).fill("x")
    name(page).press("Enter")
    page.get_by_label("Schedule", exact=True).press("Enter")
    name(page).press("Control+Enter")
    made(page)
    assert len(kala.jobs()) == 1


def test_a_copy(window: Window, kala: KalaProcess) -> None:
    job_id = kala.create(name="model", retries=3, labels={"a": "b"})
    page = window.go("edit", copy=job_id)
    expect(name(page)).to_have_value("model (copy)")
    create(page)
    expect(page).to_have_url(re.compile("view=job&id="))
    copy = kala.job(made(page))
    assert copy["id"] != job_id
    assert (copy["name"], copy["retries"], copy["labels"]) == ("model (copy)", 3, {"a": "b"})


def test_what_is_set_is_unfolded_and_jobs_have_their_names(window: Window, kala: KalaProcess) -> None:
    parent = kala.create(name="its parent")
    page = window.go("edit", id=kala.create(parent_jobs=[parent], environment={"A": "1"}))
    expect(field(page, "parent_jobs").locator(".chips")).to_contain_text("its parent")
    expect(page.get_by_label("Environment variables")).to_have_value("A=1")
    expect(page.get_by_label("Environment variables")).to_be_visible()
    expect(page.get_by_label("Retries", exact=True)).to_be_hidden()


def test_only_a_new_job_is_marked_as_one(window: Window, kala: KalaProcess) -> None:
    job_id = kala.create()
    page = window.go("edit", copy=job_id)
    expect(page.locator("#nav [aria-current]")).to_have_text("New job")
    window.go("edit", id=job_id)
    expect(name(page)).to_have_value("job")
    expect(page.locator("#nav [aria-current]")).to_have_count(0)


def test_a_job_that_there_is_not(window: Window) -> None:
    page = window.go("edit", id="nobody")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such job")
    expect(page.get_by_role("link", name="All jobs")).to_be_visible()


def test_the_form_is_accessible(window: Window, check_accessible: Callable[[Window], None]) -> None:
    page = window.go("edit")
    open_all(page)
    page.get_by_role("button", name="Add notification").click()
    page.get_by_label("Schedule", exact=True).fill("30 2 * * *")
    expect(page.locator(".preview tbody tr")).to_have_count(10)
    check_accessible(window)
    page.get_by_label("Kind of job").select_option("an HTTP call")
    create(page)
    expect(page.locator(".wrong")).to_be_visible()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")  # where the buttons cover nothing
    check_accessible(window)
