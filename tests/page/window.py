"""A window of a real Chromium on the page of a real daemon."""

import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from daemon_process import DEADLINE, KalaProcess
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

AXE = Path(os.environ.get("KALA_TEST_SERVERS", "~/.cache/kala-test-servers")).expanduser() / "axe/package/axe.min.js"
"""Where `scripts/services` puts it."""
NOT_OURS = "Failed to load resource"
"""How the console tells of answers above 399 and of connections that failed: tests make these happen on purpose."""


def chromium() -> str | None:
    """The path of the browser; None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Window:
    """One tab, and what it has complained about: errors that nobody caught, and what the page's policy has blocked."""

    def __init__(self, context: BrowserContext, kala: KalaProcess) -> None:
        self.kala, self.faults = kala, list[str]()
        self.address = urlsplit(kala.url)
        self.page: Page = context.new_page()
        self.page.set_default_timeout(DEADLINE * 1_000)
        self.page.on("pageerror", lambda error: self.faults.append(f"{error}\n{error.stack}"))
        self.page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and NOT_OURS not in message.text and "WebSocket connection" not in message.text:
            self.faults.append(message.text)

    def url(self, view: str = "", **params: str) -> str:
        """The address of a view: the daemon's, as it was first."""
        query = urlencode(({"view": view} if view else {}) | params)
        return f"{self.address.scheme}://{self.address.netloc}/{'?' if query else ''}{query}"

    def go(self, view: str = "", **params: str) -> Page:
        """Load a view, and return when it is there and events come."""
        self.page.goto(self.url(view, **params))
        self.wait_live()
        expect(self.page.locator("#main > section:not(:empty)")).to_have_count(1)
        return self.page

    def wait_live(self) -> None:
        expect(self.page.locator("#live")).to_have_attribute("data-state", "live", timeout=DEADLINE * 1_000)

    def wait_true(self, expression: str) -> None:
        """Return when a JavaScript expression is true. (Playwright's own way needs `eval`, which the page forbids.)"""
        self.kala.wait_for(lambda: self.page.evaluate(expression), f"never true: {expression}")

    def note_events(self) -> None:
        """From now on `window.heard` has the events that come: all that is there already has been told of them then."""
        self.evaluate_module(
            "base.js",
            """(m) => {
                window.heard = [];
                m.subscribe(({ events }) => window.heard.push(...events), new AbortController().signal);
            }""",
        )

    def restart_daemon(self, *flags: str) -> None:
        """Start it again at the same address, be it stopped, killed, or running."""
        self.kala.restart("--port", str(self.address.port), *flags)

    def evaluate_module(self, path: str, function: str, argument: Any = None) -> Any:
        """What a function of a module of the page's gives: `("parts/ansi.js", "(m, text) => m.parse(text)", "…")`."""
        script = """async ([path, argument]) => {
            const main = document.querySelector("script[type=module]").src;
            return (%s)(await import(new URL(path, main)), argument);
        }"""
        return self.page.evaluate(script % function, [path, argument])


def violations(window: Window) -> list[str]:
    """What axe-core finds wrong with what is shown, a line for each: rule, help, and the first places."""
    window.page.evaluate(AXE.read_text() + ";0")
    found = window.page.evaluate(
        "async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa',"
        " 'best-practice']})).violations"
    )
    return [
        f"{one['id']}: {one['help']}: {json.dumps([node['html'][:200] for node in one['nodes'][:3]])}"
        f" {one['nodes'][0].get('failureSummary', '')[:300]}"
        for one in found
    ]
