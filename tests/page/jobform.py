"""The form of a job, as tests fill it in."""

import json
import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

LATER = "R/9000-01-01T00:00:00Z/P1D"


def field(page: Page, path: str) -> Locator:
    """A member's place in the form."""
    return page.locator(f'[data-path="{path}"]')


def name(page: Page) -> Locator:
    return page.get_by_label("Name", exact=True)


def fault(page: Page, path: str) -> Locator:
    return field(page, path).locator(".fault").last


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")


def create(page: Page) -> None:
    page.get_by_role("button", name="Create the job").click()


def made(page: Page) -> str:
    """The id of the job whose page has come."""
    expect(page).to_have_url(re.compile(r"view=job&id="))
    return page.url.rpartition("=")[2]


def as_json(page: Page) -> Any:
    return json.loads(page.locator("#json").input_value())
