"""What tests of the list of jobs share."""

import json
from typing import Any

from daemon_process import API, KalaProcess
from playwright.sync_api import Locator, Page, expect

from .window import Window

NEVER = "R/9000-01-01T00:00:00Z/P1D"


def make_many(kala: KalaProcess, count: int, **members: Any) -> list[str]:
    """Jobs "job 000", "job 001", …; their ids."""
    jobs = [{"command": "true", "schedule": NEVER, "name": f"job {number:03}"} | members for number in range(count)]
    answer, body = kala.request("POST", f"{API}/job/batch/", json.dumps(jobs).encode())
    assert answer.status == 200
    return [json.loads(line)["id"] for line in body.splitlines()]


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def names(page: Page) -> list[str]:
    return page.locator("tbody .title").all_text_contents()


def listed(window: Window, **params: str) -> Page:
    """The view, when it has been read as it is since events come: what happens from here on comes by them."""
    page = window.go("jobs", **params)
    expect(page.locator(".view table")).to_have_attribute("aria-busy", "false")
    return page
