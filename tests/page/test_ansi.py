"""What programs print for a terminal, as lines and colours: `parts/ansi.js`, `parts/paint.js`."""

from collections.abc import Callable
from typing import Any

import pytest

from .window import Window

pytestmark = pytest.mark.slow

LINES = """(m, pieces) => {
    const screen = m.terminal();
    const lines = [];
    for (const piece of pieces) screen.feed(piece, (line) => lines.push(line));
    screen.end((line) => lines.push(line));
    return lines;
}"""
EACH = f"(m, several) => several.map((pieces) => ({LINES})(m, pieces))"


@pytest.fixture
def lines(window: Window) -> Callable[..., list[Any]]:
    """Lines that come of pieces of text."""
    window.go("nonsense")
    return lambda *pieces: window.evaluate_module("parts/ansi.js", LINES, list(pieces))


def texts(found: list[Any]) -> list[str]:
    return [line if isinstance(line, str) else line["text"] for line in found]


def styles(line: Any) -> list[tuple[int, int, int, int]]:
    """Where each begins, ink, ground, flags."""
    return [(mark["at"], mark["ink"], mark["ground"], mark["flags"]) for mark in line["marks"]]


def test_lines_and_controls(window: Window) -> None:
    window.go("nonsense")
    for printed, wanted in (
        ("a\nb\n\nc", ["a", "b", "", "c"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("10 %\r20 %\r100 %\n", ["100 %"]),
        ("longer text\rshort\n", ["shortr text"]),  # as a terminal does
        ("longer text\rshort\x1b[K\n", ["short"]),
        ("longer text\x1b[2K\rnew\n", ["new        "]),
        ("abc\b\bX\n", ["aXc"]),
        ("\b\bx\n", ["x"]),
        ("😀😀\rx\n", ["x 😀"]),  # half of a character is none
        ("a\tb\n", ["a\tb"]),
        ("nul\0 bell\a del\x7f c1\x85\x9b end\n", ["nul bell del c1 end"]),
        ("<b>x</b> &amp; <script>\n", ["<b>x</b> &amp; <script>"]),
        ("\x1b]0;a title\atext\n", ["text"]),
        ("\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\ after\n", ["link after"]),
        ("\x1bPq#0;2;0;0;0\x1b\\sixel\n", ["sixel"]),
        ("\x1b]0;never closed\nnext\n", ["", "next"]),
        ("\x1b[2J\x1b[1;1H\x1b[?25lx\x1b(By\x1b7z\x1b=\n", ["xyz"]),
        ("\x1b[31\x1b[0mx\n", ["x"]),  # a sequence that is broken off
        ("x\x1b", ["x"]),
    ):
        cuts = range(len(printed))  # wherever it is cut
        found = window.evaluate_module("parts/ansi.js", EACH, [[printed[:cut], printed[cut:]] for cut in cuts])
        assert [texts(one) for one in found] == [wanted for _ in cuts], printed


def test_styles_go_on_over_lines_and_pieces(lines: Callable[..., list[Any]]) -> None:
    first, second, third = lines("\x1b[1;3", "1mred\nstill ", "\x1b[0mplain\nno style\n")
    assert styles(first) == [(0, 2, 0, 1)]
    assert styles(second) == [(0, 2, 0, 1), (6, 0, 0, 0)]
    assert third == "no style"


def test_all_styles(lines: Callable[..., list[Any]]) -> None:
    rgb = 0x1000000 | 0x010203
    for codes, wanted in (
        ("31", (2, 0, 0)),
        ("97;102", (16, 11, 0)),
        ("38;5;208;48;5;17", (209, 18, 0)),
        ("38;2;1;2;3", (rgb, 0, 0)),
        ("48:2::1:2:3", (0, rgb, 0)),
        ("48:2:1:2:3", (0, rgb, 0)),
        ("1;2;3;4;7;9", (0, 0, 63)),
        ("4:3;1", (0, 0, 9)),
        ("1;2;3;4;7;9;22;23;24;27;29", None),
        ("31;39;41;49", None),
        ("31;", None),  # an empty number is 0
        ("38;5;999", None),
        ("5;8;77", None),
    ):
        (line,) = lines(f"\x1b[{codes}mx\n")
        got = styles(line)[0][1:] if isinstance(line, dict) else None
        assert got == wanted, codes


def test_printing_over_a_styled_line_keeps_the_rest(lines: Callable[..., list[Any]]) -> None:
    (line,) = lines("\x1b[31mredredred\r\x1b[32mgreen\n")
    assert line["text"] == "greendred"
    assert styles(line) == [(0, 3, 0, 0), (5, 2, 0, 0)]


def test_lines_without_end_are_broken(lines: Callable[..., list[Any]]) -> None:
    assert [len(text) for text in texts(lines(*["x" * 65_536] * 33))] == [1 << 20, 1 << 20, 65_536]
    found = lines(*["\x1b[31mx\x1b[32my" * 1000] * 20)
    assert len(found) == 3  # so many styles are too much for one
    assert [line.get("goesOn", False) for line in found] == [True, True, False]
    assert "".join(texts(found)) == "xy" * 20_000


def test_hostile_text_takes_no_time(window: Window) -> None:
    window.go("nonsense")
    took = window.evaluate_module(
        "parts/ansi.js",
        """(m) => {
            const times = {};
            const texts = {
                overwriting: "x\\r", back: "x\\b", styles: "\\x1b[31mx\\r\\x1b[32my", open: "\\x1b]0;", long: "y\\b\\b",
            };
            for (const [name, text] of Object.entries(texts)) {
                const screen = m.terminal();
                const add = () => {};
                screen.feed("z".repeat(name === "long" ? 1000000 : 4000), add);
                const piece = text.repeat(32768 / text.length);
                const took = [];
                for (let count = 0; count < 8; count += 1) {
                    const begun = performance.now();
                    screen.feed(piece, add);
                    took.push(performance.now() - begun);
                }
                times[name] = took.sort((a, b) => a - b)[4];
            }
            return times;
        }""",
    )
    assert max(took.values()) < 100, took  # milliseconds for 32 KiB, which is what a frame takes in at a time


def test_every_colour_is_legible(window: Window) -> None:
    window.go("nonsense")
    least = window.evaluate_module(
        "parts/paint.js",
        """(m) => {
            const value = (css) => parseInt(css.slice(1), 16);
            let least = [99];
            const exact = [0, 0xff, 0xff00, 0xff0000, 0x777777, 0xffffff];
            const colours = [...Array(257).keys(), ...exact.map((value) => 0x1000000 + value)];
            for (const ink of colours) for (const ground of colours) for (const flags of [0, 1, 2, 16, 18]) {
                const {color, background} = m.coloursOf({ink, ground, flags});
                const contrast = m.contrast(value(color), background ? value(background) : 0x10151a);
                if (contrast < least[0]) least = [contrast, ink, ground, flags];
            }
            return least;
        }""",
    )
    assert least[0] >= 4.5, least
