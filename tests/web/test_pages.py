"""The page and its files. What it does is tested in a browser (`tests/page/`)."""

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import pytest

from kala.web import pages

from .server import Server

STATIC = resources.files("kala.web") / "static"
MOST = 150 * 1024  # bytes of all files, as they are sent but for their compression


def files(folder: Traversable = STATIC, under: str = "") -> dict[str, str]:
    found = {}
    for entry in folder.iterdir():
        name = under + entry.name
        found |= files(entry, f"{name}/") if entry.is_dir() else {name: entry.read_text()}
    return found


FILES = files()
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}
GATHERED = {name.decode() for name in pages.PASSED_ON.findall(FILES[pages.BASE].encode())}
"""What is sent within `BASE`."""


@pytest.mark.parametrize("path", ["/", "/webui", "/webui/", "main.js", pages.STYLES, "icon.svg"])
def test_files_have_their_type_a_tag_and_a_policy(either: Server, path: str) -> None:
    is_page = path.startswith("/")
    got = either.ask("GET", path if is_page else f"{pages.ROOT}/{pages.load().version}/{path}")
    assert (got.status, got.headers["Content-Type"]) == (
        200,
        pages.TYPES["html" if is_page else path.rpartition(".")[2]],
    )
    policy = got.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    # the page is asked for again each time, what it names never: another version has another name
    assert got.headers["Cache-Control"] == ("no-cache" if is_page else "public, max-age=31536000, immutable")
    # asked for again with its tag, it is not sent again
    path = path if is_page else f"{pages.ROOT}/{pages.load().version}/{path}"
    again = either.ask("GET", path, If_None_Match=f'"other", W/{got.headers["ETag"]}')
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", got.headers["ETag"])
    assert either.ask("GET", path, If_None_Match='"other"').status == 200
    packed = either.ask("GET", path, Accept_Encoding="gzip")
    assert packed.headers["ETag"] != got.headers["ETag"]


def test_what_the_page_asks_for_is_there(server: Server) -> None:
    page = server.ask("GET", "/").text
    wanted = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert {path.split("/", 4)[4] for path in wanted} >= {"main.js", pages.STYLES, "icon.svg"}
    folder = wanted[0].rpartition("/")[0]
    # scripts name the others, below the same folder
    for name in {*SCRIPTS, *(path.split("/", 4)[4] for path in wanted)} - GATHERED:
        assert server.ask("GET", f"{folder}/{name}").status == 200


def test_files_of_another_version_are_not_kept(server: Server) -> None:
    got = server.ask("GET", f"{pages.ROOT}/00000000/main.js")
    assert (got.status, got.headers["Cache-Control"]) == (200, "no-cache")
    assert server.ask("GET", f"{pages.ROOT}/{pages.load().version}/index.html").status == 404


def test_the_version_changes_with_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    before = pages.load().version
    contents = [(name, text.encode()) for name, text in FILES.items()]
    for changed, more in (("dom.js", b"let more;"), ("styles/base.css", b"b {}"), ("icon.svg", b" ")):
        other = [(name, plain + more if name == changed else plain) for name, plain in contents]
        monkeypatch.setattr(pages, "_walk", lambda folder, other=other: iter(other))
        assert pages.load().version != before


def test_the_page_is_small() -> None:
    loaded = pages.load()
    of_login = [file for path, file in loaded.others.items() if path.startswith("login/")]
    others = [file for path, file in loaded.others.items() if not path.startswith("login/")]
    assert sum(len(file.plain) for file in (loaded.page, *others)) < MOST
    assert sum(len(file.plain) for file in (loaded.login, *of_login)) < 5_000  # a page of its own


def test_the_page_keeps_to_its_policy() -> None:
    # nothing inline, nothing from elsewhere, and nothing of a job becomes markup
    page = FILES[pages.PAGE]
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)
    for name, text in SCRIPTS.items():
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|"
            r"javascript:",
            text,
        ), name
    for name, text in FILES.items():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg|\.\.\.|example\.com)[a-z0-9]", text), name
        assert not (name.endswith(".css") and re.search(r"@import|url\(", text)), name


def has_nested_templates(text: str) -> bool:
    """Whether a template literal stands within the `${…}` of another."""
    inside: list[int] = []  # of each template, how many braces are open in its expression; -1: in its text
    text = re.sub(r"(^|\s)//\s.*$", "", text, flags=re.MULTILINE)
    for part in re.findall(r"\\.|\$\{|[`{}]", text):
        if part == "`" and inside and inside[-1] == -1:
            inside.pop()
        elif part == "`":
            if inside:
                return True
            inside.append(-1)
        elif inside and part == "${" and inside[-1] == -1:
            inside[-1] = 0
        elif inside and inside[-1] >= 0 and part in "{}":
            inside[-1] += 1 if part == "{" else -1
    return False


def test_templates_are_not_nested() -> None:
    # rjsmin takes the blanks out of the inner one
    assert has_nested_templates('x = `a ${b ? `${b} c` : ""}`;')
    assert has_nested_templates("x = `a ${b.map((c) => { return `${c}`; })}`;")
    assert not has_nested_templates("x = `a ${f({b})} c`; y = `${d} {`; // `e`")
    for name, text in SCRIPTS.items():
        assert not has_nested_templates(text), name


def test_what_is_left_out_says_nothing() -> None:
    # `pages.spare` drops what is needless beside a brace: none of it may be in a text, or be all that a loop does, and
    # what ends with a brace and is no block ends with a semicolon
    for name, text in SCRIPTS.items():
        assert ";}" not in text, name
        for literal in re.findall(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`', text):
            assert not pages.LONG.search(literal.encode()), (name, literal)
        assert not re.search(r"(?<!} )\b(for|while) \((?:[^()\n]|\([^()]*\))*\);", text), name
        for statement in re.findall(r"^(?:export )?(?:const|let) [^;]*?^}", text, re.MULTILINE):
            assert f"{statement};" in text or f"{statement})" in text or f"{statement}," in text, (name, statement)


def imports(text: str) -> dict[str, dict[str, str]]:
    """The names that a script takes from each other one, and what it calls them; `*` for all."""
    found: dict[str, dict[str, str]] = {}
    for names, everything, path in re.findall(
        r'^import (?:\{([^}]*)\}|\* as (\w+)) from "([^"]+)";', text, re.MULTILINE
    ):
        pairs = [one.split(" as ") for one in names.replace("\n", " ").split(",") if one.strip()]
        taken = {"*": everything} if everything else {pair[0].strip(): pair[-1].strip() for pair in pairs}
        found[path] = found.get(path, {}) | taken
    return found


def views() -> list[str]:
    """The scripts that are loaded by the name of a view."""
    return [name for name in SCRIPTS if name.startswith("views/")]


def exports(name: str) -> dict[str, str]:
    """The names that a script gives to others, and the script that each is from."""
    found = {}
    for path in re.findall(r'^export \* from "([^"]+)";', SCRIPTS[name], re.MULTILINE):
        passed_on = exports(resolved(name, path))
        assert not set(found) & set(passed_on), f"{name}: {set(found) & set(passed_on)} twice"
        found |= passed_on
    own = re.findall(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", SCRIPTS[name], re.MULTILINE)
    several = re.findall(r"^export const (\w+ = \d+(?:, \w+ = \d+)+);", SCRIPTS[name], re.MULTILINE)
    own += re.findall(r"(\w+) =", " ".join(several))
    return found | dict.fromkeys(own, name)


def resolved(name: str, path: str) -> str:
    parts = name.split("/")[:-1]
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def test_scripts_import_what_there_is_and_use_it() -> None:
    taken: dict[str, set[str]] = {name: set() for name in SCRIPTS}
    for name, text in SCRIPTS.items():
        body = re.sub(r"^import .*?;$", "", text, flags=re.MULTILINE | re.DOTALL)
        for path, names in imports(text).items():
            other = resolved(name, path)
            assert other in SCRIPTS, f"{name}: there is no {other}"
            given = exports(other)
            if "*" in names:
                names = set(given)
            else:
                unused = {one for one, own in names.items() if not re.search(rf"\b{own}\b", body)}
                assert not unused, f"{name}: {unused} is imported and not used"
            assert set(names) <= set(given), f"{name}: {other} does not have {set(names) - set(given)}"
            for one in names:
                taken[given[one]].add(one)
    tests = "".join(path.read_text() for path in (Path(__file__).parent.parent / "page").glob("*.py"))
    for name in views():
        taken[name].add("open")
    tested = set(re.findall(r"\bm\.(\w+)", tests))
    for name in SCRIPTS:
        own = {one for one, source in exports(name).items() if source == name}
        assert own <= taken[name] | tested, f"{name}: {own - taken[name] - tested} is used nowhere"


def test_what_is_sent_as_one_can_be() -> None:
    names: dict[str, str] = {}
    for name in sorted(GATHERED):
        declared = re.findall(
            r"^(?:export )?(?:async )?(?:const|let|function|class) (\[?\w+)", SCRIPTS[name], re.MULTILINE
        )
        assert declared
        for one in declared:
            assert not one.startswith("[")
            assert one not in names, f"{one} is in {names[one]} and in {name}"
            names[one] = name
        for path in imports(SCRIPTS[name]):
            assert resolved(name, path) in GATHERED, f"{name} imports {path}"
    for name in set(SCRIPTS) - GATHERED - {pages.BASE}:
        assert not {resolved(name, path) for path in imports(SCRIPTS[name])} & GATHERED, name


def test_imports_go_downwards() -> None:
    # main → views → parts → what all share
    def depth(name: str) -> int:
        return 0 if name == "main.js" else 1 if name.startswith("views/") else 2 if name.startswith("parts/") else 3

    for name, text in SCRIPTS.items():
        for path in imports(text):
            assert depth(resolved(name, path)) >= depth(name), f"{name} imports {path}"
            assert not (name.startswith("views/") and resolved(name, path).startswith("views/")), (
                f"{name} imports {path}"
            )
