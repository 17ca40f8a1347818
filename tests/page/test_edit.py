"""Making a job by its form: every member that there is."""

import pytest
from daemon_process import KalaProcess
from playwright.sync_api import expect

from .jobform import LATER, create, field, made, name, open_all
from .window import Window

pytestmark = pytest.mark.slow


def test_the_form_has_every_member_that_the_server_takes(window: Window, kala: KalaProcess) -> None:
    window.go("edit")
    table = window.evaluate_module("parts/fields.js", "(m) => ({job: m.FIELDS, notify: m.NOTIFY})")
    schema = kala.get("/openapi.json").json["components"]["schemas"]["NewJob"]["properties"]
    parts = {name: schema.pop(name)["properties"] for name in ("remote_properties", "limits")}
    known = {*schema, *(f"{name}.{part}" for name, inner in parts.items() for part in inner)}
    assert {one["path"] for one in table["job"]} == known
    assert {one["path"] for one in table["notify"]} == set(schema["notify"]["items"]["properties"])
    for one in table["job"]:
        words = schema.get(one["path"], {}).get("enum")
        if words and one["kind"] == "choice":
            assert set(one["options"]) == set(words) - {"", None}, one["path"]
    open_all(window.page)
    assert window.page.locator("main [data-path]").count() == len(table["job"])


def test_what_is_normal_is_the_servers_default(window: Window, kala: KalaProcess) -> None:
    job = kala.job(kala.create(name="plain", notify=[{"url": "http://127.0.0.1:1/"}]))
    window.go("edit")
    draft = window.evaluate_module("parts/fields.js", "(m, job) => m.draftOf(job)", job)
    assert draft == {
        "name": "plain",
        "command": "true",
        "schedule": LATER,
        "notify": [{"url": "http://127.0.0.1:1/"}],
    }


def test_a_job_made_by_the_form_runs_at_once(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    expect(page.get_by_role("heading", level=1)).to_have_text("New job")
    expect(name(page)).to_be_focused()
    name(page).fill("by hand")
    page.get_by_label("Command").fill("echo 'a b'")
    page.evaluate("window.stays = true")
    create(page)
    job_id = made(page)
    assert page.evaluate("window.stays")  # nothing was loaded anew
    job = kala.job(job_id)
    assert (job["name"], job["command"], job["schedule"]) == ("by hand", "echo 'a b'", "")
    kala.wait_for(lambda: kala.job(job_id)["metadata"]["success_count"] == 1)


def test_only_what_is_not_normal_is_sent(window: Window) -> None:
    page = window.go("edit")
    name(page).fill("little")
    page.get_by_label("Command").fill("true")
    field(page, "retries").locator("xpath=ancestor::details").evaluate("one => { one.open = true; }")
    page.get_by_label("Retries", exact=True).fill("3")
    page.get_by_label("Retries", exact=True).fill("0")
    page.get_by_label("Schedule", exact=True).fill(LATER)
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/job/")) as sent:
        create(page)
    assert sent.value.post_data_json == {"name": "little", "command": "true", "schedule": LATER}
    made(page)


def test_every_group_of_a_local_job(window: Window, kala: KalaProcess) -> None:
    parent, cleaner = kala.create(name="the parent"), kala.create(name="the cleaner")
    page = window.go("edit")
    open_all(page)
    name(page).fill("everything")
    page.get_by_label("Command").fill("exit 0 | cat")
    page.get_by_label("Give it to /bin/sh -c").check()
    page.get_by_label("Schedule", exact=True).fill("30 2 * * *")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_label("Disabled").check()
    page.get_by_label("A time that the clock leaves out").select_option("is dropped")
    page.get_by_label("Of a time that comes twice").select_option("both count")
    lines = {
        "Spread over": "PT1M", "Owner": "ops", "Retries": "2", "Before the first retry": "PT5S",
        "Longest delay": "PT2M", "Each further delay is times": "1.5", "No attempt starts later than": "PT1H",
        "Time limit of an attempt": "PT9S", "KILL so much after TERM": "PT3S", "That limit": "7",
        "Nothing older than": "P1D", "Working folder": "/tmp", "Bytes kept of each attempt's output": "4096",
        "Template delimiters": "{{ }}", "User, or user:group": "nobody", "Most memory, bytes": "1073741824",
        "Most CPU time, seconds": "60", "Most open files": "64", "Niceness, -20 to 19": "5",
    }  # fmt: skip
    for label, value in lines.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("When a run is still on").select_option("end the old one")
    page.get_by_label("Of what was missed, run").select_option("all, up to the limit")
    page.get_by_label("When the daemon dies during a run").select_option("run it again: at least once")
    page.get_by_label("Labels").fill("team=billing\n")
    page.get_by_label("Environment variables").fill("MODE=full speed\nEQUATION=a=b\nLINES=one\n two\n\nNONE")
    for path, words in (("parent_jobs", "the par"), ("on_failure_job", "the clea")):
        field(page, path).get_by_role("searchbox").fill(words)
        expect(field(page, path).locator(".found button")).to_have_count(1)
        field(page, path).get_by_role("searchbox").press("Enter")
        expect(field(page, path).locator(".chips li")).to_have_count(1)
    page.get_by_label("Of several parents").select_option("when all have succeeded")
    page.get_by_role("button", name="Add notification").click()
    target = field(page, "notify").locator(".panel")
    target.get_by_label("URL").fill("http://127.0.0.1:9/hook")
    target.get_by_label("Tell of").fill("failure, lost missed,late")
    target.get_by_label("Of one kind at most one in").fill("PT5M")
    target.get_by_label("Headers").fill("Authorization: Bearer x")
    create(page)
    job = kala.job(made(page))
    wanted = {
        "name": "everything", "command": "exit 0 | cat", "shell": True, "type": 0, "schedule": "30 2 * * *",
        "time_zone": "Europe/Berlin", "disabled": True, "dst_gap": "skip", "dst_fold": "both", "jitter": "PT1M",
        "owner": "ops", "labels": {"team": "billing"}, "retries": 2, "retry_delay": "PT5S", "retry_max_delay": "PT2M",
        "retry_backoff": 1.5, "epsilon": "PT1H", "timeout": "PT9S", "kill_after": "PT3S", "overlap": "replace",
        "catch_up": "all", "catch_up_limit": 7, "catch_up_window": "P1D", "on_lost": "rerun", "parent_jobs": [parent],
        "parents_mode": "all", "on_failure_job": cleaner, "directory": "/tmp",
        "environment": {"MODE": "full speed", "EQUATION": "a=b", "LINES": "one\ntwo", "NONE": ""},
        "output_limit": 4096, "TemplateDelimiters": "{{ }}", "resume_at_next_scheduled_time": False,
        "run_as": "nobody", "limits": {"memory": 1 << 30, "cpu_time": 60, "open_files": 64, "nice": 5},
        "notify": [{
            "url": "http://127.0.0.1:9/hook", "on": ["failure", "lost", "missed", "late"],
            "headers": {"Authorization": ["Bearer x"]}, "every": "PT5M", "late_after": "PT1M",
        }],
    }  # fmt: skip
    assert {member: job[member] for member in wanted} == wanted


def test_a_remote_job(window: Window, kala: KalaProcess) -> None:
    page = window.go("edit")
    name(page).fill("a call")
    page.get_by_label("Kind of job").select_option("an HTTP call")
    expect(page.get_by_label("Command")).to_be_hidden()
    page.get_by_label("URL").first.fill("http://127.0.0.1:9/")
    page.get_by_label("Method").fill("POST")
    page.get_by_label("Time for the call").fill("5")
    page.get_by_label("Expected status codes").fill("200, 204")
    page.get_by_label("Body").fill('{"a": 1}\n')
    page.get_by_label("Headers").first.fill("X-A: 1\nX-B:a:b\nX-A: 3")
    page.get_by_label("Schedule", exact=True).fill(LATER)
    create(page)
    job = kala.job(made(page))
    assert job["type"] == 1
    assert job["remote_properties"] == {
        "url": "http://127.0.0.1:9/", "method": "POST", "body": '{"a": 1}\n', "timeout": 5,
        "headers": {"X-A": ["1", "3"], "X-B": ["a:b"]}, "expected_response_codes": [200, 204],
    }  # fmt: skip


def test_warnings_of_a_job_that_is_made_are_shown(window: Window) -> None:
    page = window.go("edit")
    name(page).fill("piped")
    page.get_by_label("Command").fill("echo a | cat")
    create(page)
    made(page)
    expect(page.locator(".notice.warn")).to_contain_text("`|` means nothing here")
