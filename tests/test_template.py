"""Go's templates over a job: what they show, what is refused, and that none holds up the daemon."""

import sys
import time
from typing import Any

import pytest

from kala import template
from kala.errors import TemplateFault
from kala.job import REMOTE, Job, Record, Remote
from kala.template import check, members_of, render

DAY = 86_400_000_000
RECORD = Record(
    id="id-1",
    job=Job(
        name="backup",
        command="{{.Name}}",
        owner="me@example.org",
        schedule="R/2026-01-01T00:00:00Z/P1D",
        retries=2,
        epsilon="PT5M",
        parent_jobs=["p1", "p2"],
        type=REMOTE,
        remote=Remote(url="http://a", headers={"X-A": ["b", "c"]}, timeout=5, expected_response_codes=[200, 201]),
    ),
    created=0,
    cursor=20_454 * DAY + 3_723_000_000,
    successes=3,
    finished=4,
    errors=1,
    last_attempted=20_453 * DAY + 500_000,
)
MEMBERS = members_of(RECORD, dependents=["c1"])

RENDERED = {  # by Go's text/template over the original's Job
    "plain": "plain",
    "": "",
    "{{$.Owner}} {{.Name}}": "me@example.org backup",
    "{{.Id}}/{{.Retries}}/{{.Disabled}}/{{.JobType}}/{{.IsDone}}": "id-1/2/false/1/true",
    "{{.ParentJobs}} {{.DependentJobs}} {{len .ParentJobs}}": "[p1 p2] [c1] 2",
    "{{.RemoteProperties.ExpectedResponseCodes}} {{.RemoteProperties.Headers}}": "[200 201] map[X-A:[b c]]",
    "{{.NextRunAt}}": "2026-01-01 01:02:03 +0000 UTC",
    "{{.Metadata.LastAttemptedRun}}": "2025-12-31 00:00:00.5 +0000 UTC",
    "{{.Metadata.LastSuccess}}": "0001-01-01 00:00:00 +0000 UTC",
    '{{.NextRunAt.Format "2006-01-02T15:04:05Z07:00"}}': "2026-01-01T01:02:03Z",
    "{{.NextRunAt.Year}}{{.NextRunAt.Month}}{{.NextRunAt.Day}}{{.NextRunAt.Weekday}}": "2026January1Thursday",
    "{{.NextRunAt.Hour}}:{{.NextRunAt.Minute}}:{{.NextRunAt.Second}}={{.NextRunAt.Unix}}": "1:2:3=1767229323",
    "{{if .Metadata.LastSuccess.IsZero}}never{{end}}": "never",
    "{{if .Disabled}}off{{else if gt .Retries 1}}{{.Retries}}{{end}}": "2",
    "{{range $i, $p := .ParentJobs}}{{if $i}},{{end}}{{$p}}{{else}}none{{end}}": "p1,p2",
    "{{with .OnFailureJob}}{{.}}{{else}}none{{end}}": "none",
    '{{.Name | printf "%q"}} {{printf "%05d|%-4s|%v" .Retries "x" .ParentJobs}}': '"backup" 00002|x   |[p1 p2]',
    '{{print 1 2 "a" "b" 3}}|{{println 1 "a"}}': "1 2ab3|1 a\n",
    '{{html "<a>"}} {{js "\'"}} {{urlquery "a b&c"}}': "&lt;a&gt; \\' a+b%26c",
    '{{index .ParentJobs 1}} {{index .RemoteProperties.Headers "X-A"}} {{slice .Name 0 4}}': "p2 [b c] back",
    '{{eq .Name "backup"}} {{and .Name .Disabled}} {{not .Disabled}}': "true false true",
    "a {{- /* comment */ -}} b": "ab",
    '{{define "t"}}<{{.}}>{{end}}{{template "t" .Name}}': "<backup>",
}


@pytest.mark.parametrize(("text", "expected"), RENDERED.items())
def test_templates_show_the_job_as_go_does(text: str, expected: str) -> None:
    check(text, "{{ }}")
    assert render(text, "{{ }}", MEMBERS) == expected
    assert render(text, "{{ }}", MEMBERS) == expected  # nothing is left from the time before


@pytest.mark.parametrize("delimiters", ["{{ }}", "<% %>", "${ }", "[[ ]]", "  {{   }} ", "{{\t}}"])
def test_delimiters_are_the_jobs(delimiters: str) -> None:
    left, right = delimiters.split()
    assert render(f"a {left} .Owner {right} z", delimiters, MEMBERS) == "a me@example.org z"


@pytest.mark.parametrize("delimiters", ["", " ", "{{", "{{ }} x", "{{}}"])
def test_delimiters_are_two_words(delimiters: str) -> None:
    with pytest.raises(TemplateFault, match="the delimiters must be two words"):
        check("x", delimiters)


UNREADABLE = [
    "{{",
    "{{.Name",
    "{{if .Name}}",
    "{{end}}",
    "{{nothing}}",
    "{{.Name | nothing}}",
    '{{"x}}',
    "{{range}}{{end}}",
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(TemplateFault, match="the template cannot be read: "):
        check(text, "{{ }}")


FAILING = {
    "{{.Nope}}": "Nope",
    "{{.Metadata.Nope}}": "Nope",
    "{{.Name.upper}}": "upper",
    "{{.__class__}}": "__class__",
    "{{.Name.__class__}}": "__class__",
    "{{.NextRunAt._time}}": "_time",
    "{{.NextRunAt.Format.__globals__}}": "Format",
    "{{.Name.zfill 1000000000}}": "zfill",
    "{{index .ParentJobs 7}}": "index",
    "{{call .Name}}": "call",
    '{{template "nowhere"}}': "nowhere",
}


@pytest.mark.parametrize(("text", "part"), FAILING.items())
def test_what_fails_is_a_fault(text: str, part: str) -> None:
    with pytest.raises(TemplateFault, match=part):
        render(text, "{{ }}", MEMBERS)


LONG = "{{$x := .Long}}"
HOSTILE = {
    "loop": "{{range 1000000000}}{{end}}",
    "loops in loops": "{{range 1000}}" * 9 + "{{end}}" * 9,
    "recursion": '{{define "a"}}{{template "a"}}{{end}}{{template "a"}}',
    "doubling calls": "".join(
        f'{{{{define "a{n}"}}}}{f"{{{{template `a{n + 1}`}}}}" * 2}{{{{end}}}}' for n in range(60)
    )
    + '{{define "a60"}}{{end}}{{template "a0"}}',
    "doubling text": LONG + "{{$x = print $x $x}}" * 60 + "{{len $x}}",
    "doubling by printf": LONG + '{{$x = printf "%s%s" $x $x}}' * 60 + "{{len $x}}",
    "one argument often": LONG + '{{len (printf "' + "%[1]s" * 5_000 + '" $x)}}',
    "many arguments": LONG + "{{len (print" + " $x" * 10_000 + ")}}",
    "doubling by escaping": '{{$x := "\\\\"}}' + "{{$x = js $x}}" * 60 + "{{len $x}}",
    "width": '{{printf "%999999999d" 1}}',
    "precision": '{{printf "%.999999999f" 1.0}}',
    "width as an argument": '{{printf "%*d" 999999999 1}}',
    "much output": LONG + "{{$x}}" * 5_000,
    "long text": "x" * 100_000,
    "brackets": "{{" * 30_000,
    "nesting": "{{if true}}" * 3_000 + "{{end}}" * 3_000,
    "parentheses": "{{" + "(" * 30_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_template_holds_up_the_daemon(text: str) -> None:
    members: dict[str, Any] = {**MEMBERS, "Long": "x" * 10_000}
    began = time.process_time()
    with pytest.raises(TemplateFault):
        render(text, "{{ }}", members)
    assert time.process_time() - began < 2
    assert sys.getprofile() is None


def test_a_large_but_honest_template_is_rendered() -> None:
    assert (
        len(render("{{.Long}}{{range 1000}}{{$.Name}}{{end}}", "{{ }}", {**MEMBERS, "Long": "x" * 500_000})) == 506_000
    )


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gotpl", None)
    monkeypatch.delitem(sys.modules, "kala.gotemplate", raising=False)
    template.compiled.cache_clear()
    with pytest.raises(TemplateFault, match=r"pip install 'kala\[templates\]'"):
        check("{{.Name}}", "{{ }}")
    with pytest.raises(TemplateFault, match=r"pip install 'kala\[templates\]'"):
        members_of(RECORD)
