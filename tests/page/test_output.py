"""Output: live, of any size, from anybody."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from daemon_process import API, KalaProcess
from playwright.sync_api import Locator, Page, Request, Route, expect

from .test_run import GOING, run_of, started, state_of, text_of, wait_state
from .window import Window

pytestmark = pytest.mark.slow

MOST = 2**24  # the largest limit on what is kept
WATCH = """() => {
    window.most = 0;
    const look = () => {
        window.most = Math.max(window.most, document.querySelectorAll(".row").length);
        requestAnimationFrame(look);
    };
    look();
}"""
LONGEST = 100_000  # microseconds


@contextmanager
def never_long(page: Page) -> Iterator[None]:
    """What the page does meanwhile is never long, by its thread's own time: a machine that is busy otherwise does not
    count; and there are never many lines in the document."""
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline", "__metadata"])
    page.evaluate(WATCH)
    yield
    told = json.loads(browser.stop_tracing())["traceEvents"]
    threads = {one["pid"] for one in told if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"}
    tasks = [one for one in told if one["name"] == "RunTask" and one["pid"] == one["tid"] and one["pid"] in threads]
    assert len(tasks) > 20  # or nothing was traced
    assert max(one.get("tdur", 0) for one in tasks) < LONGEST
    assert page.evaluate("window.most") < 120


def row(page: Page, text: str) -> Locator:
    return page.locator(".row").get_by_text(text, exact=True)


def whole(page: Page) -> list[str]:
    """All lines, as "Copy" gives them."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    page.get_by_role("button", name="Close this message").click()
    return str(page.evaluate("navigator.clipboard.readText()")).split("\n")


def gap(element: Locator) -> float:
    """Pixels from what is in sight to the end."""
    return float(element.evaluate("(one) => one.scrollHeight - one.scrollTop - one.clientHeight"))


def printer(window: Window) -> tuple[str, Callable[[str], None]]:
    """A run that prints what it is given, and how it is."""
    path = window.kala.folder / "fifo"
    os.mkfifo(path)
    run = started(window, "cat fifo", output_limit=MOST)
    file = path.open("w")

    def say(text: str) -> None:
        file.write(text)
        file.flush()

    return run, say


def test_it_comes_live_and_follows_the_end_unless_scrolled_up(window: Window) -> None:
    run, say = printer(window)
    page = window.go("run", id=run)
    page.evaluate("window.isSame = true")
    follow = page.get_by_role("button", name="Follow")
    output = text_of(page)
    for first in (1, 101, 201):
        say("".join(f"line {number}\n" for number in range(first, first + 100)))
        expect(row(page, f"line {first + 99}")).to_be_in_viewport()
        expect(follow).to_be_hidden()
    output.hover()
    page.mouse.wheel(0, -500)
    expect(follow).to_be_visible()
    top = output.evaluate("(one) => one.scrollTop")
    say("".join(f"line {number}\n" for number in range(301, 401)))
    expect(page.locator(".space")).to_have_css("height", f"{400 * 18}px")
    assert output.evaluate("(one) => one.scrollTop") == top
    expect(follow).to_be_visible()
    follow.click()
    expect(row(page, "line 400")).to_be_in_viewport()
    expect(follow).to_be_hidden()
    expect(output).to_be_focused()
    # by keys alone
    page.keyboard.press("Home")
    expect(row(page, "line 1")).to_be_in_viewport()
    expect(follow).to_be_visible()
    page.keyboard.press("PageDown")
    expect(row(page, "line 1")).not_to_be_in_viewport()
    page.keyboard.press("f")
    expect(row(page, "line 400")).to_be_in_viewport()
    page.keyboard.press("Home")
    expect(follow).to_be_visible()
    page.keyboard.press("End")
    expect(follow).to_be_hidden()
    say("no end of line")
    expect(row(page, "no end of line")).to_be_in_viewport()
    say(", and\r10 %\r20 %")
    expect(row(page, "20 %nd of line, and")).to_be_in_viewport()
    assert page.evaluate("window.isSame")


def test_a_hundred_thousand_lines(window: Window) -> None:
    run = started(window, "seq 1 100000", output_limit=MOST)
    wait_state(window, run, "succeeded")
    page = window.go("nonsense")
    with never_long(page):
        page.evaluate(
            f"history.pushState(null, '', '?view=run&id={run}'); dispatchEvent(new PopStateEvent('popstate'))"
        )
        expect(row(page, "100000")).to_be_in_viewport()
        output = text_of(page)
        for part in (0.0, 0.5, 0.25, 1.0):
            output.evaluate("(one, part) => { one.scrollTop = one.scrollHeight * part; }", part)
            number = max(1, min(100_000, int(100_000 * part) + 1))
            expect(row(page, str(number))).to_be_in_viewport()
        page.keyboard.press("/")
        page.keyboard.type("99")
        many = sum(str(number).count("99") for number in range(1, 100_001))
        expect(page.locator(".counts")).to_contain_text(f"of {many:,}")
        page.get_by_role("button", name="Wrap").click()
        expect(page.get_by_role("button", name="Wrap")).to_have_attribute("aria-pressed", "true")


def test_a_million_lines_live(window: Window) -> None:
    portions = "for i in 0 1 2 3 4 5 6 7 8 9; do seq ${i}00001 ${i}99999; echo; sleep 0.2; done"
    command = f"until [ -e go ]; do sleep 0.02; done; {portions}; echo the end"
    run = started(window, command, output_limit=MOST)
    page = window.go("run", id=run)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    with never_long(page):
        (window.kala.folder / "go").touch()
        expect(row(page, "the end")).to_be_in_viewport(timeout=60_000)
        expect(state_of(page)).to_have_text("succeeded")
        expect(page.get_by_text("lines are left out here")).to_be_visible()
    page.evaluate("gc()")
    assert page.evaluate("performance.memory.usedJSHeapSize") < 100 * 2**20
    lines = [line for line in whole(page) if line.isdigit()]
    assert 190_000 < len(lines) <= 204_000
    numbers = [int(line) for line in lines]
    assert numbers == sorted(set(numbers))  # none twice, none out of order


def test_a_line_of_megabytes(window: Window) -> None:
    run = started(
        window, "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo needle; echo last", output_limit=MOST
    )
    page = window.go("run", id=run)
    expect(row(page, "last")).to_be_in_viewport()
    expect(page.get_by_role("button", name="more characters: wrap")).to_have_count(3)
    assert len(page.locator(".row").nth(1).inner_text()) < 2100
    with never_long(page):
        page.get_by_label("Find in the output").fill("xneedle")
        expect(page.locator("mark.now")).to_be_in_viewport()  # at the far end of its line
        page.get_by_role("button", name="more characters: wrap").first.click()
        expect(page.get_by_role("button", name="Wrap")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("mark.now")).to_have_count(0)
        page.get_by_role("button", name="The next match").click()
        expect(page.locator("mark.now").first).to_be_in_viewport()
    assert [len(line) for line in whole(page)] == [5, 3_000_006, 4, 0]


def test_hostile_output_is_text(window: Window) -> None:
    (window.kala.folder / "evil").write_bytes(
        b"<img src=x onerror=alert(1)>\n<script>document.title='no'</script>\n"
        b"\x1b]0;title\x07\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\\n"
        b"nul\0nul\ninvalid \xff\xfe utf-8 \xe2\x82\n"
        b"\x1b[2J\x1b[999A\x1b[31m\x1b]52;c;aGk=\x07red\x1b[0m\ncut in two: \xf0\x9f"
    )
    (window.kala.folder / "more").write_bytes(b"\x98\x80 end\n")
    run = started(window, "cat evil; until [ -e go ]; do sleep 0.02; done; cat more")
    page = window.go("run", id=run)
    expect(row(page, "invalid �� utf-8 �")).to_be_visible()
    (window.kala.folder / "go").touch()
    expect(page.locator(".row")).to_have_text(
        ["<img src=x onerror=alert(1)>", "<script>document.title='no'</script>", "link", "nulnul",
         "invalid �� utf-8 �", "red", "cut in two: 😀 end"]
    )  # fmt: skip
    expect(page.locator(".lines img, .lines a, .lines script")).to_have_count(0)
    expect(row(page, "red")).to_have_css("color", "rgb(255, 123, 114)")


def test_finding(window: Window) -> None:
    run, say = printer(window)
    page = window.go("run", id=run)
    say("".join(f"line {number}{' Fault. (Fault)' if number % 100 == 0 else ''}\n" for number in range(1, 1001)))
    expect(row(page, "line 999")).to_be_in_viewport()
    counts = page.locator(".counts")
    page.keyboard.press("/")
    expect(page.get_by_label("Find in the output")).to_be_focused()
    page.keyboard.type("fault.")
    expect(counts).to_have_text("10 of 10")  # that in sight
    expect(page.locator("mark")).to_have_text(["Fault."])
    page.keyboard.press("Enter")
    expect(counts).to_have_text("1 of 10")
    expect(page.locator(".row", has_text="line 100")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(counts).to_have_text("2 of 10")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(counts).to_have_text("10 of 10")
    say("one more FAULT.\n")
    expect(counts).to_have_text("10 of 11")
    page.get_by_role("button", name="The next match").click()
    expect(page.locator("mark.now")).to_have_text("FAULT.")
    page.get_by_label("Find in the output").fill("(Fault)")
    expect(counts).to_contain_text("of 10")
    page.get_by_label("Find in the output").fill("nowhere")
    expect(counts).to_have_text("none")
    page.get_by_label("Find in the output").fill("")
    expect(counts).to_have_text("")
    expect(page.locator("mark")).to_have_count(0)


def test_wrapping(window: Window) -> None:
    run = started(
        window, "printf 'word %.0s' $(seq 1 300); echo; echo 表表表表 $(printf '表%.0s' $(seq 1 200)); echo last"
    )
    page = window.go("run", id=run)
    output = text_of(page)
    expect(row(page, "last")).to_be_visible()
    assert output.evaluate("(one) => one.scrollWidth > one.clientWidth")
    page.keyboard.press("w")
    expect(row(page, "last")).to_be_visible()
    expect(page.locator(".row").nth(8)).to_be_attached()
    window.kala.wait_for(lambda: output.evaluate("(one) => one.scrollWidth <= one.clientWidth"), "it is too wide")
    page.set_viewport_size({"width": 600, "height": 800})
    expect(page.locator(".row").nth(16)).to_be_attached()
    window.kala.wait_for(lambda: output.evaluate("(one) => one.scrollWidth <= one.clientWidth"), "it is too wide")
    page.keyboard.press("w")
    expect(page.locator(".row")).to_have_count(3)


def test_what_is_not_kept_is_said_and_the_file_is_to_be_had(window: Window) -> None:
    run = started(window, "seq 1 100000", output_limit=1000, name="a/b c")
    wait_state(window, run, "succeeded")
    page = window.go("run", id=run)
    expect(row(page, "100000")).to_be_visible()
    output = text_of(page)
    output.evaluate("(one) => { one.scrollTop = 0; }")
    expect(row(page, f"the first {588_895 - 1000:,} bytes are not kept")).to_be_visible()
    with page.expect_download() as got:
        page.get_by_role("link", name="Download").click()
    assert got.value.suggested_filename == f"a_b_c-{run}-1.log"
    assert got.value.path().read_bytes() == window.kala.request("GET", f"{API}/run/{run}/output/")[1]
    assert len(got.value.path().read_bytes()) == 1000


def test_a_lost_connection_doubles_nothing(window: Window) -> None:
    run, say = printer(window)
    say("one\ntwo\nhalf\n")
    output = f"{window.kala.url}{API}/run/{run}/output/"
    window.kala.wait_for(lambda: window.kala.request("GET", f"{API}/run/{run}/output/")[1] == b"one\ntwo\nhalf\n")
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(parse_qs(urlsplit(route.request.url).query)["offset"][0])
        if len(asked) == 1:  # it breaks off in the middle
            headers = {"Kala-Attempt": "1", "Kala-Output-Offset": "0", "Kala-Output-Size": "13"}
            route.fulfill(body="one\ntwo\nhal", headers=headers)
        elif len(asked) == 2:
            route.abort()
        else:
            route.continue_()

    window.page.route(f"{output}*", answer)
    page = window.go("run", id=run)
    expect(row(page, "half")).to_be_visible()
    say("three\n")
    expect(row(page, "three")).to_be_visible()
    expect(page.locator(".row")).to_have_text(["one", "two", "half", "three"])
    assert asked == ["0", "11", "11"]


@pytest.mark.parametrize("on_lost", ["record", "rerun"])
def test_a_daemon_that_is_killed_and_started_again(window: Window, on_lost: str) -> None:
    run = started(window, f"seq 1 20; {GOING}", on_lost=on_lost)
    page = window.go("run", id=run)
    expect(row(page, "begun")).to_be_visible()
    window.kala.kill()
    expect(page.get_by_text("the connection is lost: it goes on when it is back")).to_be_visible()
    expect(row(page, "begun")).to_be_visible()
    (window.kala.folder / "go").touch()
    window.restart_daemon()
    first = [*map(str, range(1, 21)), "begun"]
    if on_lost == "record":
        expect(state_of(page)).to_have_text("lost")
        expect(page.get_by_text("The daemon ended before this was kept")).to_be_visible()
        assert whole(page) == [*first, ""]
    else:
        expect(state_of(page)).to_have_text("succeeded")
        # what this page alone has is not taken away
        expect(page.get_by_text("The daemon ended before this was kept")).to_be_visible()
        assert whole(page) == [*first, ""]
        page.get_by_role("button", name="Show its output").click()
        expect(row(page, "done")).to_be_visible()
        assert whole(page) == [*first, "done", ""]


def test_a_daemon_that_stops_while_it_is_followed(
    start_kala: Callable[..., KalaProcess], open_window: Callable[..., Window]
) -> None:
    kala = start_kala("--drain", "60")
    window = open_window(kala)
    run = started(window, f"seq 1 5; {GOING}")
    offsets: list[str] = []

    def note(request: Request) -> None:
        if "/output/" in request.url:
            offsets.extend(parse_qs(urlsplit(request.url).query)["offset"])

    window.page.on("request", note)
    page = window.go("run", id=run)
    expect(row(page, "begun")).to_be_visible()
    assert kala.process is not None
    kala.process.send_signal(signal.SIGTERM)  # it waits for the run
    kala.wait_log("SIGTERM: stopping")
    (kala.folder / "go").touch()
    assert kala.wait() == 0
    window.restart_daemon()
    window.wait_live()
    expect(state_of(page)).to_have_text("succeeded")
    size = str(run_of(window, run)["attempts"][0]["output_size"])
    kala.wait_for(lambda: page.evaluate("1") and offsets[-1] == size, "not read to the end")
    expect(page.locator(".row")).to_have_text(["1", "2", "3", "4", "5", "begun", "done"])


def test_leaving_ends_the_reading(window: Window) -> None:
    run, say = printer(window)
    page = window.go("run", id=run)
    say("x\n")
    expect(row(page, "x")).to_be_visible()
    ended: list[Any] = []
    page.on("requestfailed", lambda request: ended.append(request.url))
    page.get_by_role("link", name="Jobs").click()
    expect(page).to_have_url(window.url("jobs"))
    window.kala.wait_for(lambda: page.evaluate("1") and any("/output/" in url for url in ended))
