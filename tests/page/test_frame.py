"""What is around every view: the connection, banners, keys, the palette, addresses, and how safe it is."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon_process import API, KalaProcess
from missing import require
from playwright.sync_api import WebSocket, WebSocketRoute, expect
from servers.registry import SERVICES
from servers.service import Service, flags_of

from .window import Window

pytestmark = pytest.mark.slow


def sockets(window: Window) -> list[str]:
    """The addresses of websockets that the page opens from now on."""
    opened: list[str] = []

    def note(socket: WebSocket) -> None:
        opened.append(socket.url)

    window.page.on("websocket", note)
    return opened


# The connection.


def test_a_killed_daemon_is_seen_and_the_page_comes_back_by_itself(window: Window) -> None:
    page = window.go()
    window.kala.kill()
    expect(page.locator("#live-text")).to_have_text("Not live")
    expect(page.get_by_text("the daemon cannot be reached")).to_be_visible()
    window.restart_daemon()
    window.wait_live()
    expect(page.locator("#banners")).to_be_empty()


def test_try_now_does_not_wait_for_the_delay_to_pass(window: Window) -> None:
    page = window.go()
    page.clock.install()
    window.kala.kill()
    expect(page.locator("#live-text")).to_have_text("Not live")
    # from here on no delay passes by itself; what is due in that minute comes once
    page.clock.pause_at(page.evaluate("Date.now() + 60_000"))
    window.restart_daemon()
    expect(page.locator("#live-text")).to_have_text("Not live")
    page.get_by_role("button", name="Try now").click()
    window.wait_live()


def test_a_connection_that_broke_goes_on_after_the_last_event(window: Window) -> None:
    opened: list[WebSocketRoute] = []

    def through(route: WebSocketRoute) -> None:
        opened.append(route)
        if len(opened) == 2:
            window.kala.create(name="meanwhile")
        route.connect_to_server()

    window.page.route_web_socket(re.compile("/events/"), through)
    page = window.go()
    heard = page.evaluate(
        """async () => {
            const { subscribe } = await import(new URL("base.js", document.querySelector("script[type=module]").src));
            window.heard = [];
            window.reloads = 0;
            subscribe(({ events, reload }) => {
                window.heard.push(...events.map((one) => one.id));
                window.reloads += reload ? 1 : 0;
            }, new AbortController().signal);
            return window.heard.length;
        }"""
    )
    assert heard == 0
    window.kala.create(name="before")
    window.wait_true("window.heard.length === 1")
    page.evaluate(
        """() => {
            const live = document.getElementById("live");
            window.states = [];
            const note = () => window.states.push(live.dataset.state);
            new MutationObserver(note).observe(live, { attributeFilter: ["data-state"] });
        }"""
    )
    opened[-1].close()
    window.wait_true("window.heard.length === 2")
    assert page.evaluate("window.states") == ["lost", "live"]
    assert len(opened) == 2
    assert page.evaluate("window.reloads") == 0
    last = page.evaluate("window.heard[0]")
    assert opened[-1].url.endswith(f"after={last}")
    assert page.evaluate("new Set(window.heard).size") == 2


def test_where_too_much_was_missed_what_is_shown_is_read_again(window: Window) -> None:
    page = window.go("jobs")
    window.kala.create(name="one that is kept")
    window.kala.kill()  # its events are gone with it
    expect(page.locator("#live-text")).to_have_text("Not live")
    window.restart_daemon()
    window.wait_live()
    expect(page.get_by_text("one that is kept").first).to_be_visible()


def test_many_tabs_are_fine(window: Window, open_window: Callable[..., Window]) -> None:
    tabs = [open_window(window.kala) for _ in range(8)]
    for tab in tabs:
        tab.go("jobs")
    window.kala.create(name="seen by all")
    for tab in tabs:
        expect(tab.page.get_by_text(re.compile("seen by all|1 new job")).first).to_be_visible()


# Banners.


def test_pausing_is_told_and_resumed_from_the_banner(window: Window) -> None:
    page = window.go()
    window.kala.post(f"{API}/pause/", {"reason": "moving house"})
    banner = page.locator("#banners")
    expect(banner).to_contain_text("Paused: nothing starts until it is resumed")
    resume = banner.get_by_role("button", name="Resume")
    resume.focus()
    window.evaluate_module("base.js", "(m) => m.set({ node: { ...m.state.node } })")  # as when it is read again
    expect(resume).to_be_focused()
    resume.click()
    expect(banner).to_be_empty()
    assert window.kala.get(f"{API}/pause/").json["paused"] is False


@pytest.fixture
def on_redis(tmp_path: Path) -> Iterator[tuple[KalaProcess, Service]]:
    """A daemon, and the server of its database, which nobody else uses."""
    kind = SERVICES["redis"]
    require(kind)
    service = kind(tmp_path / "server").start()
    kala = KalaProcess(tmp_path / "kala", *flags_of(kind.engine, service.fresh()))
    try:
        with kala:
            yield kala, service
    finally:
        service.kill()


def test_a_database_that_is_away_is_told_with_what_waits(
    on_redis: tuple[KalaProcess, Service], open_window: Callable[..., Window]
) -> None:
    kala, service = on_redis
    job = kala.create(name="kept in memory")
    window = open_window(kala)
    page = window.go("jobs")
    service.kill()
    banner = page.locator("#banners")
    expect(banner).to_contain_text("The database is away")
    expect(banner).to_contain_text("0 results and changes wait")
    # what is known is shown, and what cannot be done says why
    page.reload()
    expect(page.get_by_role("link", name="kept in memory", exact=True)).to_be_visible()
    page.get_by_role("button", name="Start kept in memory").click()
    expect(page.locator("#notices")).to_contain_text(re.compile("away|reach|connect", re.IGNORECASE))
    service.start()
    expect(banner).to_be_empty(timeout=30_000)
    kala.wait_for(lambda: kala.post(f"{API}/job/start/{job}/").status == 204)


# Addresses.


def test_back_and_forward_go_through_the_views(window: Window) -> None:
    page = window.go()
    nav = page.get_by_role("navigation", name="Views")
    nav.get_by_role("link", name="Jobs").click()
    expect(page).to_have_title(re.compile("^Jobs"))
    nav.get_by_role("link", name="Week").click()
    expect(nav.locator("[aria-current]")).to_have_text("Week")
    page.go_back()
    expect(page).to_have_title(re.compile("^Jobs"))
    expect(nav.locator("[aria-current]")).to_have_text("Jobs")
    page.go_forward()
    expect(page).to_have_title(re.compile("^Week"))


def test_the_original_address_shows_the_page(window: Window) -> None:
    page = window.page
    page.goto(f"{window.kala.url}/webui/")
    window.wait_live()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Jobs").click()
    expect(page).to_have_url(f"{window.kala.url}/webui/?view=jobs")


@pytest.mark.parametrize("name", ["nonsense", "__proto__", "constructor", "<img src=x>"])
def test_an_address_that_names_no_view(window: Window, name: str) -> None:
    page = window.go(name)
    expect(page.get_by_role("heading", level=1)).to_have_text("No such view")


# Keys and the palette.


def test_keys_go_to_views_and_are_listed(window: Window) -> None:
    page = window.go()
    page.keyboard.press("?")
    listed = page.get_by_role("dialog", name="Keys")
    expect(listed).to_contain_text("Go to the jobs")
    page.keyboard.press("Escape")
    expect(listed).to_have_count(0)

    def jobs_by_keys() -> bool:
        page.keyboard.type("gj")  # which are two that have nothing to do with each other when they come far apart
        return page.title().startswith("Jobs")

    window.kala.wait_for(jobs_by_keys)
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile(r"view=edit"))


def test_keys_do_nothing_while_somebody_types(window: Window) -> None:
    window.kala.create(name="one")
    page = window.go("jobs")
    page.get_by_role("searchbox").first.fill("")
    page.keyboard.type("gn?")
    expect(page.get_by_role("searchbox").first).to_have_value("gn?")
    assert page.get_by_role("dialog").count() == 0


def test_the_palette_finds_jobs_and_actions_by_keyboard_alone(window: Window) -> None:
    job = window.kala.create(name="nightly backup")
    window.kala.create(name="something else")
    page = window.go()
    page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Jump to a job or an action")
    page.keyboard.type("nightly")
    expect(palette.get_by_role("option")).to_have_count(1)
    expect(palette.get_by_role("combobox")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(window.url("job", id=job))
    page.keyboard.press(":")
    page.keyboard.type("pause")
    expect(palette.get_by_role("option", name="Pause everything")).to_be_visible()
    page.keyboard.press("Enter")
    asked = page.get_by_role("dialog", name="Pause everything?")
    asked.get_by_role("button", name="Pause").click()
    window.kala.wait_for(lambda: window.kala.get(f"{API}/pause/").json["paused"])


def test_the_palette_moves_with_arrows_and_says_when_nothing_is_found(window: Window) -> None:
    page = window.go()
    page.get_by_role("button", name="Jump to").click()
    palette = page.get_by_role("dialog", name="Jump to a job or an action")
    options = palette.get_by_role("option")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(options.last).to_have_attribute("aria-selected", "true")
    page.keyboard.type("no such thing anywhere")
    expect(palette).to_contain_text("Nothing has that in its name")
    page.keyboard.press("Enter")
    expect(palette).to_be_visible()
    page.keyboard.press("Escape")
    expect(palette).to_have_count(0)


# Safe.


def test_the_page_cannot_make_markup_or_script_of_a_text(window: Window) -> None:
    page = window.go()
    tried = page.evaluate(
        """() => {
            const found = [];
            const attempts = [
                () => { document.body.innerHTML = "<b>x</b>"; },
                () => { document.body.insertAdjacentHTML("beforeend", "<b>x</b>"); },
                () => { document.createElement("script").textContent = "1"; },
                () => { document.createRange().createContextualFragment("<b>x</b>"); },
            ];
            for (const attempt of attempts) {
                try { attempt(); found.push("done"); } catch (error) { found.push(error.name); }
            }
            return found;
        }"""
    )
    assert tried == ["TypeError"] * 4
    window.faults.clear()  # the policy has complained about these, as it should


def test_nothing_is_asked_for_elsewhere_and_nothing_secret_is_in_an_address(window: Window) -> None:
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(request.url))
    asked_sockets = sockets(window)
    for view in ("overview", "week", "jobs", "edit", "wall"):
        window.go(view)
    assert asked
    assert {url.split("/", 3)[2] for url in asked + asked_sockets} == {window.kala.url.removeprefix("http://")}


@pytest.mark.parametrize("view", ["nonsense", "overview"])
def test_everybody_can_use_it(window: Window, check_accessible: Callable[[Window], None], view: str) -> None:
    window.go(view)
    check_accessible(window)
    window.page.keyboard.press("Control+k")
    check_accessible(window)
    window.page.keyboard.press("Escape")
    window.page.keyboard.press("?")
    check_accessible(window)
