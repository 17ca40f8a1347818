"""A command line to an argument list, without a shell. Pure: programs in backticks are run by whoever expands.

    line = parse(command)                                        # once; cached
    arguments = await expand(line, environment, substitute)      # before every attempt

The rules, which are the original Kala's except where those were surprising:

- Words are parted by spaces, tabs, returns and newlines. An empty pair of quotes is an empty word.
- A backslash makes the next character plain; before a newline both vanish. It must not be the last character.
- Between single quotes everything is plain.
- Between double quotes a backslash counts only before ``$``, a backtick, ``"``, ``\\`` and a newline; backticks are
  plain.
- ``$NAME`` and ``${NAME}`` (ASCII letters, digits, underscores) are the environment's value, or nothing; the value is
  never split into words, and a word that becomes empty stays. Any other ``$`` is plain.
- Backticks hold a command by the same rules; its output, without the newlines at its end, takes their place, and is
  neither split nor expanded again. Inside, a backslash before ``$``, a backtick or ``\\`` is taken off first (POSIX
  shells do so), which allows backticks within backticks.
- Nothing else means anything: ``| & ; < > ( ) * ? ~ #`` are plain.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from kala.errors import CommandError

MAX_CACHED = 4_096  # characters: longer command lines are read anew each time, so that the cache stays small
OPERATORS = frozenset({">", ">>", "<", "|", "||", "&&", "&", ";"})

Substitute = Callable[[list[str]], Awaitable[str]]
"""Runs a program, given its argument list (never empty), and returns its standard output.

Raises `CommandError` when it cannot be run or fails."""


class Variable(NamedTuple):
    """A part of a word that the environment gives."""

    name: str


class Substitution(NamedTuple):
    """A part of a word that is the output of a command in backticks."""

    words: "Line"


class Word(NamedTuple):
    """One argument to be: its parts are joined. A plain word has one part, its text."""

    parts: tuple[str | Variable | Substitution, ...]
    operator: str = ""  # what a shell would read in it: the unquoted word itself, or the `;` at its end


Line = tuple[Word, ...]

_NAME = r"\$(?:\{(?P<braced>[A-Za-z0-9_]+)\}|(?P<name>[A-Za-z0-9_]+))"
_TOKEN = re.compile(
    rf"""(?P<space>[ \t\r\n]+)
    | (?P<text>[^ \t\r\n\\'"`$]+)
    | \\(?P<escaped>.)
    | '(?P<single>[^']*)'
    | "(?P<double>(?:[^"\\]++|\\.)*+)"
    | `(?P<backtick>(?:[^`\\]++|\\.)*+)`
    | {_NAME}
    | (?P<dollar>\$)""",
    re.DOTALL | re.VERBOSE,
)
_DOUBLE_TOKEN = re.compile(rf"""\\(?P<escaped>[$`"\\\n])|{_NAME}|(?P<text>[^\\$]+|.)""", re.DOTALL)
_SPECIAL = re.compile(r"""[\\'"`$]""")
_PLAIN_WORD = re.compile(r"[^ \t\r\n]+")
_HARMLESS = re.compile(r"[A-Za-z0-9_./,:=@%+-][A-Za-z0-9_./,:=@%+ -]*+")  # words, and nothing is to be said of them
_UNCLOSED = {"'": "the single quote", '"': "the double quote", "`": "the backtick"}


def parse(command: str) -> Line:
    """The words of a command line, unexpanded; at least one. Runs nothing.

    Raises `CommandError` when it can never be split: an unclosed quote or backtick, a backslash at the end, no word at
    all, a NUL, or half of a surrogate pair (which no argument can hold).
    """
    return _parse_cached(command) if len(command) <= MAX_CACHED else _parse(command)


def check(command: str) -> list[str]:
    """Raise `CommandError` as `parse` does; return warnings, a sentence for each shell operator that is a plain word.

    Runs nothing.
    """
    if _HARMLESS.fullmatch(command):
        return []
    operators = dict.fromkeys(word.operator for word in _all_words(parse(command)) if word.operator)
    return [
        f"`{operator}` means nothing here and is given to the program as it stands, since no shell reads this command: "
        'set "shell": true, or write bash -c "…"'
        for operator in operators
    ]


def variables(line: Line) -> set[str]:
    """The names of the variables in it, and in the commands in its backticks."""
    return {part.name for word in _all_words(line) for part in word.parts if isinstance(part, Variable)}


async def expand(line: Line, environment: Mapping[str, str], substitute: Substitute) -> list[str]:
    """The argument list. Backticks are run one after another, from the left, inner ones first.

    Does not let other tasks run when there are no backticks. Raises `CommandError` when a value holds a NUL, and
    whatever `substitute` raises.
    """
    arguments = []
    for word in line:
        if len(word.parts) == 1 and isinstance(text := word.parts[0], str):  # `parse` has looked at it
            arguments.append(text)
            continue
        texts = []
        for part in word.parts:
            if isinstance(part, str):
                texts.append(part)
            elif isinstance(part, Variable):
                texts.append(environment.get(part.name, ""))
            elif part.words:
                output = await substitute(await expand(part.words, environment, substitute))
                texts.append(output.rstrip("\n"))
        argument = "".join(texts)
        if "\0" in argument:
            raise CommandError("a value in the command holds a NUL, which no argument can")
        arguments.append(argument)
    return arguments


def _parse(command: str) -> Line:
    if "\0" in command:
        raise CommandError("the command holds a NUL, which no argument can")
    try:
        command.encode()
    except UnicodeEncodeError as error:
        raise CommandError(f"the command holds half of a surrogate pair, at character {error.start + 1}") from None
    line = _words(command)
    if not line:
        raise CommandError("the command is empty")
    return line


_parse_cached = lru_cache(maxsize=4_096)(_parse)


def _words(command: str) -> Line:
    """The words of a command line, none when there is nothing but space."""
    if not _SPECIAL.search(command):
        return tuple([Word((text,), _operator(text)) for text in _PLAIN_WORD.findall(command)])
    words: list[Word] = []
    parts: list[str | Variable | Substitution] | None = None  # of the word under way; None between words
    bare = ""  # the word as far as it is unquoted text; what was quoted in it stands as a space
    position = 0
    while position < len(command):
        match = _TOKEN.match(command, position)
        if match is None:
            raise CommandError(_fault(command, position))
        position = match.end()
        kind, text = match.lastgroup, match[match.lastgroup or 0]
        if kind == "space":
            if parts is not None:
                words.append(_finished(parts, bare))
            parts, bare = None, ""
            continue
        if kind == "escaped" and text == "\n":
            continue
        parts = [] if parts is None else parts
        bare += text if kind == "text" else " "
        if kind in ("name", "braced"):
            parts.append(Variable(text))
        elif kind == "backtick":
            parts.append(_substitution(text))
        elif kind == "double":
            parts.extend(_double_quoted(text))
        else:
            parts.append(text)
    if parts is not None:
        words.append(_finished(parts, bare))
    return tuple(words)


def _double_quoted(text: str) -> Iterator[str | Variable]:
    for match in _DOUBLE_TOKEN.finditer(text):
        kind, part = match.lastgroup, match[match.lastgroup or 0]
        if kind in ("name", "braced"):
            yield Variable(part)
        elif not (kind == "escaped" and part == "\n"):
            yield part


def _substitution(text: str) -> Substitution:
    try:
        return Substitution(_words(re.sub(r"\\([$`\\])", r"\1", text)))
    except CommandError as error:
        raise CommandError(f"in the command between backticks, {error}") from None


def _finished(parts: list[str | Variable | Substitution], bare: str) -> Word:
    """A word of these parts, with neighbouring texts joined."""
    if all(isinstance(part, str) for part in parts):
        return Word(("".join(part for part in parts if isinstance(part, str)),), _operator(bare))
    return Word(tuple(parts), _operator(bare))


def _operator(bare: str) -> str:
    return bare if bare in OPERATORS else ";" if bare[-1:] == ";" else ""


def _all_words(line: Line) -> Iterator[Word]:
    """The words of a line and of the commands in its backticks."""
    for word in line:
        yield word
        for part in word.parts:
            if isinstance(part, Substitution):
                yield from _all_words(part.words)


def _fault(command: str, position: int) -> str:
    if (mark := command[position]) in _UNCLOSED:
        return f"{_UNCLOSED[mark]} at character {position + 1} is not closed"
    return "a backslash at the end has nothing to escape"
