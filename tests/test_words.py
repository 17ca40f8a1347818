"""Command lines: the argument lists they become, what is refused, what is warned of."""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kala.errors import CommandError
from kala.processes.words import MAX_CACHED, check, expand, parse

RECORDED = json.loads((Path(__file__).parent / "data" / "commands.json").read_text(encoding="utf-8"))
ENVIRONMENT = {"FOO": "bar", "SP": "x  y", "HOT": "`touch ran` $FOO 'x"}
unhurried = settings(deadline=None)  # a busy machine is no fault


async def run(arguments: list[str]) -> str:
    """A real program's output."""
    try:
        ended = await trio.run_process(arguments, capture_stdout=True, check=False)
    except OSError as error:
        raise CommandError(str(error)) from None
    if ended.returncode:
        raise CommandError(f"{arguments[0]} ended with {ended.returncode}")
    return ended.stdout.decode()


async def split(command: str, environment: Mapping[str, str] = ENVIRONMENT) -> list[str]:
    return await expand(parse(command), environment, run)


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["command"] or "empty")
def test_recorded_command_lines(case: dict) -> None:
    if case["words"] == "error":
        with pytest.raises(CommandError):
            trio.run(split, case["command"], RECORDED["environment"])
    else:
        assert trio.run(split, case["command"], RECORDED["environment"]) == case["words"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("a\tb\r\nc  d ", ["a", "b", "c", "d"]),
        (
            "a\u00a0b\x0bc\u2003d",
            ["a\u00a0b\x0bc\u2003d"],
        ),  # only these four part words, not all that Unicode calls space
        ("'a\u00a0b' c\x0bd", ["a\u00a0b", "c\x0bd"]),
        ("curl \\\n  -s \\\n  http://h/", ["curl", "-s", "http://h/"]),
        ('"one\\\ntwo"', ["onetwo"]),
        ("'one\\\ntwo'", ["one\\\ntwo"]),
        ("one\\\ntwo", ["onetwo"]),
        ('"\\a\\ \\$\\`\\"\\\\"', ['\\a\\ $`"\\']),
        ("''", [""]),
        ("''\"\"x''", ["x"]),
        ("a'b'\"c\"d\\e", ["abcde"]),
        ("awk '{print $1}'", ["awk", "{print $1}"]),
        ('awk "{print $1}"', ["awk", "{print }"]),
        ("$FOO_ ${FOO}_ $FOO'_' $F\"OO\" ${FO'O'}", ["", "bar_", "bar_", "OO", "${FOO}"]),
        ("$$FOO$ ${} ${FOO:-x} $- ${é}", ["$bar$", "${}", "${FOO:-x}", "$-", "${é}"]),
        ("'$FOO'\"$FOO\"$FOO", ["$FOObarbar"]),
        ('$HOT "$HOT"', ["`touch ran` $FOO 'x", "`touch ran` $FOO 'x"]),  # a value is not read again
        ("`echo '$FOO \\`echo no\\`'`", ["$FOO `echo no`"]),  # nor is an output
        ("`echo $FOO`", ["bar"]),
        ("`echo \\`echo deep\\``", ["deep"]),
        ("`echo \\`echo \\\\\\`echo deeper\\\\\\`\\``", ["deeper"]),
        ("`printf ' a\\\\nb\\\\n\\\\n'`", [" a\nb"]),
        ("a``b` `c", ["abc"]),
        ("``", [""]),
        ("`echo a``echo b`'`echo c`'", ["ab`echo c`"]),
        ("é\U0001f600 'ü'", ["é\U0001f600", "ü"]),
        ("a" * MAX_CACHED + " b", ["a" * MAX_CACHED, "b"]),
    ],
)
def test_further_rules(command: str, arguments: list[str]) -> None:
    assert trio.run(split, command) == arguments


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "the command is empty"),
        (" \t\r\n", "the command is empty"),
        ("\\\n", "the command is empty"),
        ("a 'b", "the single quote at character 3 is not closed"),
        ('a "b\\"', "the double quote at character 3 is not closed"),
        ("a'b\"c'\"", "the double quote at character 7 is not closed"),
        ("a `b", "the backtick at character 3 is not closed"),
        ("a `b\\`", "the backtick at character 3 is not closed"),
        ("a `b 'c` d", "in the command between backticks, the single quote at character 3 is not closed"),
        ("a `b \\`c`", "in the command between backticks, the backtick at character 3 is not closed"),
        ("a b\\", "a backslash at the end has nothing to escape"),
        ("a\0b", "the command holds a NUL"),
        ("'\0'", "the command holds a NUL"),
        ("ab\ud800", "the command holds half of a surrogate pair, at character 3"),
    ],
)
def test_what_can_never_be_split_is_refused_at_once(command: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        parse(command)
    with pytest.raises(CommandError, match=message):
        check(command)


def test_a_failing_substitution_is_an_error_when_run_and_not_when_checked() -> None:
    for command in ("echo `false`", "echo `/no/such/program`", "echo `'' x`"):
        assert check(command) == []
        with pytest.raises(CommandError):
            trio.run(split, command)


def test_checking_and_reading_run_nothing(tmp_path: Path) -> None:
    # given a command whose backticks leave a trace
    trace = tmp_path / "trace"
    command = f"echo `touch {trace}`"
    # when it is checked and read, then there is none
    assert check(command) == []
    line = parse(command)
    assert not trace.exists()
    # when it is expanded, then there is
    assert trio.run(expand, line, {}, run) == ["echo", ""]
    assert trace.exists()


def test_substitutions_run_in_order_inner_ones_first() -> None:
    asked = []

    async def substitute(arguments: list[str]) -> str:
        await trio.lowlevel.checkpoint()
        asked.append(arguments)
        return f"<{arguments[-1]}>\n\n"

    line = parse("x `one '$FOO'` \"`no`\" `two \\`three $FOO\\`` `''`")
    assert trio.run(expand, line, ENVIRONMENT, substitute) == ["x", "<$FOO>", "`no`", "<<bar>>", "<>"]
    assert asked == [["one", "$FOO"], ["three", "bar"], ["two", "<bar>"], [""]]


def test_a_value_with_a_nul_is_an_error() -> None:
    for command, environment in (("echo `printf 'a\\\\0b'`", {}), ("echo $NUL", {"NUL": "a\0b"})):
        with pytest.raises(CommandError, match="NUL"):
            trio.run(split, command, environment)


@pytest.mark.parametrize(
    ("command", "operators"),
    [
        ("echo hello world", []),
        ("ls > out", [">"]),
        ("ls >> out < in", [">>", "<"]),
        ("a | b || c && d & ; e | f", ["|", "||", "&&", "&", ";"]),
        ("echo a; echo b", [";"]),
        ('echo "a"; b', [";"]),
        ("echo $FOO; b", [";"]),
        ("sleep 1 &", ["&"]),
        ("echo `ps | wc`", ["|"]),
        ("echo '|' \"&&\" \\; '>' x';' x\\; \"a | b\"", []),
        ("find . -exec rm {} \\;", []),
        ("|'' ''> \\&&", []),
        ("echo a;b 'a; b' ;c 2>&1 a|b http://h/?a=1&b=2", []),
        ("bash -c 'a | b; c'", []),
    ],
)
def test_shell_operators_are_warned_of(command: str, operators: list[str]) -> None:
    warnings = check(command)
    assert [warning.split("`")[1] for warning in warnings] == operators
    assert all('"shell": true' in warning and "bash -c" in warning for warning in warnings)


def test_a_command_is_read_once_unless_it_is_long() -> None:
    assert parse("echo '1' 2") is parse("echo '1' 2")
    long = "echo " + "'1' " * MAX_CACHED
    assert parse(long) is not parse(long)


awkward = st.text(alphabet="ab \t\n\\'\"`$F{}O|;é\0\ud800", max_size=60)


@given(st.text() | awkward)
@unhurried
def test_any_text_is_split_or_refused(command: str) -> None:
    async def substitute(arguments: list[str]) -> str:
        if not arguments:
            raise AssertionError("there is no program to run")
        return " output\n"

    try:
        warnings = check(command)
    except CommandError:
        with pytest.raises(CommandError):
            parse(command)
        return
    assert all(isinstance(warning, str) for warning in warnings)
    assert trio.run(expand, parse(command), ENVIRONMENT, substitute)


encodable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(encodable | st.text(alphabet="ab \n\\'\"`$FO;|"), min_size=1))
@unhurried
def test_quoted_words_come_back(arguments: list[str]) -> None:
    assert trio.run(split, shlex.join(arguments)) == arguments
    assert check(shlex.join(arguments)) == []


pieces = st.sampled_from(["a", "é", " ", "'", '"', "\\", "\\\\", "${FOO}", "${SP}", "`echo b c`"])


@given(st.lists(pieces, min_size=1, max_size=12).map("".join))
@settings(unhurried, max_examples=80)
def test_quoting_is_that_of_a_shell(command: str) -> None:
    # a shell runs backticks between double quotes too, which this does not
    assume('"' not in command or "`" not in command)
    try:
        arguments = trio.run(split, command)
    except CommandError:
        return
    # with IFS empty a shell does not split values either
    script = f"set -f; IFS=; set -- {command}\nfor word do printf '%s\\0' \"$word\"; done"
    shell = subprocess.run(["sh", "-c", script], env=os.environ | ENVIRONMENT, capture_output=True, check=True)
    assert shell.stdout.decode().split("\0")[:-1] == arguments
