"""Charts: their scales, what is drawn, and how they are read by pointer and keyboard."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .window import Window

pytestmark = pytest.mark.slow

MINUTE = 60_000
START = 1_900_000_020_000  # ms, a whole minute
SHOWN = """(module, [options, series]) => {
    window.shown = module.chart(options);
    document.getElementById("main").replaceChildren(window.shown.element);
    window.shown.update(series);
}"""


def points(*values: float | None, **more: str) -> list[dict[str, Any]]:
    """One a minute."""
    return [{"x": START + place * MINUTE, "y": value, **more} for place, value in enumerate(values)]


def show(window: Window, kind: str, series: list[dict[str, Any]], **options: Any) -> Page:
    """A chart in place of a view."""
    page = window.go("nonsense")
    window.evaluate_module("parts/chart.js", SHOWN, [{"label": "Things", "kind": kind, **options}, series])
    return page


def update(window: Window, series: list[dict[str, Any]]) -> None:
    window.page.evaluate("(series) => window.shown.update(series)", series)


def plot(page: Page) -> Any:
    return page.get_by_role("application")


def boxes(page: Page) -> list[dict[str, float]]:
    """Where each series is drawn, within the chart."""
    drawn = page.locator(".chart-plot .series")
    expect(drawn.first).to_be_attached()  # it has its room
    return list(
        drawn.evaluate_all(
            "all => all.map((one) => (({x, y, width, height}) => ({x, y, width, height}))(one.getBBox()))"
        )
    )


# Scales.


MARKS: list[tuple[float, int, dict[str, bool], list[float]]] = [
    (7, 4, {}, [0, 2, 4, 6, 8]),
    (8, 4, {}, [0, 2, 4, 6, 8]),
    (0.3, 3, {}, [0, 0.1, 0.2, 0.3]),
    (1, 4, {"whole": True}, [0, 1]),
    (0, 3, {"whole": True}, [0, 1]),
    (1_234, 3, {"whole": True}, [0, 500, 1_000, 1_500]),
    (100, 3, {"seconds": True}, [0, 60, 120]),
    (7_000, 3, {"seconds": True}, [0, 3_600, 7_200]),
    (0.02, 3, {"seconds": True}, [0, 0.01, 0.02]),
    (200_000, 2, {"seconds": True}, [0, 172_800, 345_600]),
]


def test_marks_are_round(window: Window) -> None:
    window.go("nonsense")
    asked = [[most, wanted, options] for most, wanted, options, _ in MARKS]
    found = window.evaluate_module("parts/scale.js", "(m, all) => all.map((given) => m.marks(...given))", asked)
    assert found == [marks for *_, marks in MARKS]


def test_powers_of_ten_reach_around(window: Window) -> None:
    window.go("nonsense")
    found = window.evaluate_module("parts/scale.js", "(m) => [m.powers(0.001, 0.02), m.powers(0.001, 0.0001)]")
    assert found == [[0.001, 0.01, 0.1], [0.001, 0.01]]


TIMES: list[tuple[str, str, int, list[str]]] = [
    ("2030-05-01T10:05:00Z", "2030-05-01T11:05:00Z", 4, ["12:15", "12:30", "12:45", "13:00"]),
    ("2030-05-01T10:00:00Z", "2030-05-01T10:00:10Z", 2, ["12:00:00", "12:00:05", "12:00:10"]),
    ("2030-05-01T20:00:00Z", "2030-05-02T02:00:00Z", 3, ["22:00", "May 2", "02:00", "04:00"]),
    # summer time begins on March 31: days are from midnight to midnight all the same
    ("2030-03-29T23:00:00Z", "2030-04-01T22:00:00Z", 5, ["Mar 30", "Mar 31", "Apr 1", "Apr 2"]),
]


def test_times_are_round_in_the_viewers_zone(window: Window) -> None:
    window.go("nonsense")  # whose zone is Europe/Berlin
    script = """(m, all) => all.map(([from, to, most]) =>
        m.times(Date.parse(from), Date.parse(to), most).map((one) => one.text))"""
    found = window.evaluate_module("parts/scale.js", script, [one[:3] for one in TIMES])
    assert found == [texts for *_, texts in TIMES]


# What is drawn.


def test_bars_are_stacked(window: Window) -> None:
    series = [
        {"name": "a", "tone": "good", "points": points(3, 3)},
        {"name": "b", "tone": "bad", "points": points(0, 1)},
    ]
    page = show(window, "bars", series)
    low, high = boxes(page)
    assert high["y"] + high["height"] == pytest.approx(low["y"], abs=0.2), "the second stands on the first"
    assert low["height"] == pytest.approx(3 * high["height"], rel=0.02)
    assert high["x"] == pytest.approx(low["x"] + low["width"] / 2, abs=1), "where the first has its second bar"


def test_a_line_has_gaps_where_nothing_is_known(window: Window) -> None:
    page = show(window, "lines", [{"name": "a", "tone": "good", "points": points(1, 2, None, 3, None, 2, 1)}])
    path = page.locator(".chart-plot .series").get_attribute("d") or ""
    assert path.count("M") == 3
    assert path.count("L") == 2


def test_what_is_out_of_the_span_is_not_drawn(window: Window) -> None:
    span = {"from": START + MINUTE, "to": START + 2 * MINUTE}
    page = show(window, "dots", [{"name": "a", "tone": "bad", "points": points(1, 2, 3, 4)}], x=span)
    assert (page.locator(".chart-plot .series").get_attribute("d") or "").count("M") == 2


def test_nothing_to_show_is_said_until_there_is(window: Window) -> None:
    page = show(window, "bars", [{"name": "a", "tone": "good", "points": points(0, 0)}], empty="Nothing came.")
    expect(page.get_by_text("Nothing came.")).to_be_visible()
    update(window, [{"name": "a", "tone": "good", "points": points(0, 5)}])
    expect(page.get_by_text("Nothing came.")).to_be_hidden()
    expect(page.get_by_role("application", name="Things, bar chart: a 5.")).to_be_visible()


def test_it_follows_the_width_that_there_is(window: Window) -> None:
    page = show(window, "bars", [{"name": "a", "tone": "good", "points": points(1, 1, 1)}])
    wide = boxes(page)[0]["width"]
    page.set_viewport_size({"width": 500, "height": 800})
    window.wait_true("document.querySelector('.chart-plot .series').getBBox().width < 480")
    assert boxes(page)[0]["width"] < wide / 2


def test_tones_are_told_apart_by_more_than_colour(window: Window) -> None:
    tones = ["good", "bad", "warn", "busy", "idle"]
    page = show(window, "dots", [{"name": tone, "tone": tone, "points": points(1)} for tone in tones])
    shapes = page.locator(".chart-legend path").evaluate_all("all => all.map((one) => one.getAttribute('d'))")
    assert len(set(shapes)) == len(tones)
    bars = [{"name": tone, "tone": tone, "points": points(1)} for tone in tones]
    show(window, "bars", bars)
    drawn = page.locator(".chart-plot .series")
    expect(drawn).to_have_count(len(tones))  # it has its room
    looks = drawn.evaluate_all("all => all.map((one) => one.getAttribute('fill') + getComputedStyle(one).fillOpacity)")
    assert len(set(looks)) == len(tones)


REDRAWN = """(series) => {
    const paths = () => [...document.querySelectorAll(".chart-plot .series")];
    const before = paths();
    const observer = new MutationObserver(() => {});
    observer.observe(window.shown.element, {subtree: true, childList: true, attributes: true, characterData: true});
    const [took, changes] = [[], []];
    for (let place = 0; place < 100; place += 1) {
        series[0].points.at(-1).y = place;
        const begun = performance.now();
        window.shown.update(series);
        took.push(performance.now() - begun);
        const nodes = (record) => record.addedNodes.length + record.removedNodes.length || 1;
        changes.push(observer.takeRecords().reduce((sum, record) => sum + nodes(record), 0));
    }
    return {
        took: Math.min(...took), changes: Math.max(...changes),
        kept: paths().every((path, place) => path === before[place]),
    };
}"""


@pytest.mark.parametrize("count", [60, 600])
def test_drawing_anew_is_cheap(window: Window, count: int) -> None:
    series = [{"name": str(place), "tone": "good", "points": points(*range(count))} for place in range(4)]
    page = show(window, "bars", series)
    expect(page.locator(".chart-plot .series")).to_have_count(4)  # it has its room
    redrawn = window.page.evaluate(REDRAWN, series)
    # the document changes by the marks of the scales and a path for each series, however many points they have
    assert redrawn["kept"]
    assert redrawn["changes"] < 50
    assert redrawn["took"] < count / 20, "milliseconds; a tenth of that was seen"


# Reading it.


def test_arrows_move_along_the_points(window: Window) -> None:
    series = [
        {"name": "good ones", "tone": "good", "points": points(5, 6, 7)},
        {"name": "bad", "tone": "bad", "points": points(1, 0, 2)},
    ]
    page = show(window, "bars", series)
    readout = page.locator(".chart-readout")
    plot(page).focus()
    page.keyboard.press("End")
    expect(readout).to_contain_text("good ones 7, bad 2")
    page.keyboard.press("ArrowRight")
    expect(readout).to_contain_text("good ones 7, bad 2")
    page.keyboard.press("ArrowLeft")
    expect(readout).to_contain_text("good ones 6, bad 0")
    expect(page.locator("[aria-live=polite]").filter(has_text="good ones 6, bad 0")).to_have_count(1)
    page.keyboard.press("Home")
    expect(readout).to_contain_text("good ones 5, bad 1")
    page.keyboard.press("Escape")
    expect(readout).to_be_empty()


def test_what_is_chosen_stays_when_there_is_more(window: Window) -> None:
    page = show(window, "lines", [{"name": "a", "tone": "good", "points": points(5, 6, 7)}])
    plot(page).focus()
    page.keyboard.press("End")
    update(window, [{"name": "a", "tone": "good", "points": points(5, 6, 8, 9)}])
    expect(page.locator(".chart-readout")).to_contain_text("a 8")
    update(window, [{"name": "a", "tone": "good", "points": points(5, 6)}])
    expect(page.locator(".chart-readout")).to_be_empty()


def test_enter_and_a_click_follow_a_points_link(window: Window) -> None:
    series = [{"name": "a", "tone": "bad", "points": points(3, 3, text="failed", href="?view=nonsense&id=1")}]
    page = show(window, "dots", series)
    plot(page).focus()
    page.keyboard.press("Home")
    expect(page.locator(".chart-readout")).to_have_text("failed")
    page.keyboard.press("Enter")
    expect(page).to_have_url(window.url("nonsense", id="1"))
    show(window, "dots", series)
    box = boxes(page)[0]
    plot(page).click(position={"x": box["x"] + 4, "y": box["y"] + 4})
    expect(page).to_have_url(window.url("nonsense", id="1"))


def test_the_pointer_chooses_what_is_near(window: Window) -> None:
    page = show(window, "bars", [{"name": "a", "tone": "good", "points": points(5, 6, 7)}])
    box = boxes(page)[0]
    plot(page).hover(position={"x": box["x"] + box["width"] / 2, "y": 20})
    expect(page.locator(".chart-readout")).to_contain_text("a 6")
    page.mouse.move(5, 5)
    expect(page.locator(".chart-readout")).to_be_empty()


def test_text_is_not_markup(window: Window) -> None:
    page = show(window, "bars", [{"name": "<b>x</b>", "tone": "good", "points": points(1, text="<i>y</i>")}])
    plot(page).focus()
    page.keyboard.press("Home")
    expect(page.locator(".chart-readout")).to_have_text("<i>y</i>")
    expect(page.locator(".chart-legend")).to_have_text("<b>x</b> 1")


@pytest.mark.parametrize("kind", ["bars", "lines", "dots"])
def test_it_is_accessible(window: Window, check_accessible: Callable[[Window], None], kind: str) -> None:
    tones = ["good", "bad", "warn", "busy", "idle"]
    show(window, kind, [{"name": tone, "tone": tone, "points": points(1, 2, 3)} for tone in tones])
    window.page.evaluate(
        "document.getElementById('main').prepend(Object.assign(document.createElement('h1'), {textContent: 'A chart'}))"
    )
    check_accessible(window)
