"""Command lines, crontabs and templates."""

import json
import shlex
from pathlib import Path

import trio
from fuzzing.target import Target, must, text_of

import kala.gotemplate  # noqa: F401 - it is imported when it is needed, and is to be watched
from kala import crontab, template
from kala.errors import CommandError, Invalid, TemplateFault
from kala.job import Job, Record
from kala.processes import words
from kala.schedule.durations import EARLIEST
from kala.wire.jobread import read_job

DATA = Path(__file__).resolve().parent.parent.parent / "tests" / "data"
ENVIRONMENT = {"FOO": "bar", "EMPTY": "", "LONG": "x y'\"`$FOO"}


async def pretended(arguments: list[str]) -> str:
    """In place of a program."""
    must(bool(arguments), "a program without a name")
    await trio.lowlevel.checkpoint()
    return "\n".join(arguments)


def try_words(data: bytes) -> None:
    text = text_of(data)
    try:
        line = words.parse(text)
    except CommandError as error:
        must(bool(str(error)), "an error without a word", text)
    else:
        words.check(text)
        arguments = trio.run(words.expand, line, ENVIRONMENT, pretended) if b"`" in data else finished(line)
        must(len(arguments) == len(line), "a word is lost", text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    if "\0" not in text:  # what a shell would take for these arguments is read as them
        given = ["x", *text.split("\n")]
        must(finished(words.parse(shlex.join(given))) == given, "quoted", given)


def finished(line: words.Line) -> list[str]:
    """The arguments of a line without backticks, which waits for nothing."""
    coroutine = words.expand(line, ENVIRONMENT, pretended)
    try:
        coroutine.send(None)
    except StopIteration as end:
        return list(end.value)
    finally:
        coroutine.close()
    raise AssertionError("it waits")


def try_crontab(data: bytes) -> None:
    text = text_of(data)
    for system in (False, True):
        for entry in crontab.read(text, system, "Europe/Berlin" if system else ""):
            must((entry.members is None) == bool(entry.fault), "neither a job nor a fault", entry)
            if entry.members is not None:
                taken_or_not(entry)


def taken_or_not(entry: crontab.Entry) -> None:
    """What a crontab makes is a job, or refused for a text that no job may have: never for its schedule."""
    try:
        data = json.dumps(entry.members).encode()
        new = read_job(data, now=EARLIEST)
    except Invalid as error:
        must(not {"schedule", "time_zone", "shell"} & error.fields.keys(), "a schedule", entry, error)
    else:
        must(new.job.schedule == entry.members["schedule"], "another schedule", entry)  # type: ignore[index]


def try_template(data: bytes) -> None:
    first, _, text = text_of(data).partition("\n")
    delimiters = first if first.strip() else "{{ }}"
    try:
        template.check(text, delimiters)
        made = template.render(text, delimiters, template.members_of(RECORD))
        must(len(made) <= 1 << 20, "longer than it may be", len(made))
    except TemplateFault:
        pass


RECORD = Record("id", Job("name", "command {{.Name}}", "owner@example.org"), EARLIEST)
CRONTAB = (
    b'SHELL=/bin/bash\nCRON_TZ="Europe/Berlin"\nMAILTO=x@example.org\n# comment\n0 8 * * 1-5 echo a\\%b%line%line\n',
    b"@daily root /usr/bin/true\r\n*/5 * * * * root HOME=1 echo\n",
    b"PATH = '/bin'\n0 0 31 2 * echo never\n0 0 * * *\n",
)
TEMPLATES = (
    b"{{ }}\necho {{.Name}} {{.Metadata.SuccessCount}}",
    b'<< >>\n<<range $i, $x := .ParentJobs>><<printf "%05d %q" $i $x>><<end>>',
    b'{{ }}\n{{define "t"}}{{.}}{{end}}{{template "t" .Id}}{{with $x := len .Name}}{{$x}}{{else}}no{{end}}',
    b'{{ }}\n{{if and (eq .Name "x") (not .Disabled)}}{{.NextRunAt.Format "2006"}}{{else if .IsDone}}y{{end}}',
    b"{{ }}\n{{- /* comment */ -}} {{html .Command | urlquery | js}}",
)
TEMPLATE_WORDS = (
    *("{{", "}}", "range", "end", "if", "else", "with", "define", "template", "block", "printf", "$x := ", ".Name"),
    *("| ", "index", "slice", "len", "html", "print", "break", "continue", "%*d", "%[1]s", "-9999", "(", ")"),
)
COMMANDS = [case["command"].encode() for case in json.loads((DATA / "commands.json").read_text())["cases"]]

TARGETS = (
    Target("words", try_words, COMMANDS, ("$FOO", "${FOO}", "`", "\\`", "'", '"', "\\\n", "&&", ";", "$LONG")),
    Target("crontab", try_crontab, CRONTAB, ("CRON_TZ=", "MAILTO=", "HOME=/", "@daily ", "0 8 * * * ", "%", "\\%")),
    Target(
        "template",
        try_template,
        TEMPLATES,
        TEMPLATE_WORDS,
        512,
    ),
)
