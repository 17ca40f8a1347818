"""Crontabs: what each line makes, and that what it makes does under /bin/sh what cron would have it do."""

import subprocess
from pathlib import Path

import pytest

from kala import crontab
from kala.clock import Clock
from kala.crontab import Entry
from kala.wire.jobjson import encode
from kala.wire.jobread import read_job

USERS = """\
# m h dom mon dow command
SHELL=/bin/bash
PATH = "/usr/local/bin:/usr/bin:/bin"
MAILTO=ops@example.com
\tGREETING='  hello  '

*/5 * * * *  /usr/bin/check --all   "two  words"
CRON_TZ=Europe/Berlin
30 2 * * MON-FRI /usr/bin/backup
@daily\t/usr/bin/rotate
MAILTO=""
0 8 1 * * /usr/bin/backup
"""


def jobs(text: str, system: bool = False, zone: str = "UTC") -> list[Entry]:
    """The entries, each of which the daemon takes as it is."""
    entries = crontab.read(text, system, zone)
    for entry in entries:
        if entry.members is not None:
            assert entry.name == entry.members["name"]
            read_job(encode(entry.members), now=Clock().now())
    return entries


def test_a_crontab_of_a_user() -> None:
    check, backup, rotate, monthly = jobs(USERS, zone="")
    environment = {"SHELL": "/bin/bash", "PATH": "/usr/local/bin:/usr/bin:/bin", "GREETING": "  hello  "}
    assert check.members == {
        "name": '/usr/bin/check --all "two words"',
        "command": """exec /bin/bash -c '/usr/bin/check --all   "two  words"'""",
        "shell": True,
        "schedule": "*/5 * * * *",
        "labels": {"from": "crontab"},
        "environment": environment,
    }
    assert check.line == 7
    assert check.warnings == [
        "MAILTO=ops@example.com: nothing is mailed here; see the member notify",
        "its times are taken as UTC: neither CRON_TZ nor --time-zone says another zone",
    ]
    # what comes later goes by the settings before it, each loss of which is said once
    assert backup.members is not None
    assert backup.members["time_zone"] == "Europe/Berlin"
    assert backup.members["environment"] == environment
    assert backup.members["schedule"] == "30 2 * * MON-FRI"
    assert rotate.members is not None
    assert rotate.members["schedule"] == "@daily"
    assert monthly.name == "/usr/bin/backup (line 12)"
    assert [one.warnings for one in (backup, rotate, monthly)] == [[], [], []]


def test_a_crontab_of_the_system() -> None:
    first, second, third, fourth = jobs(
        "17 * * * *\troot  cd / && run-parts /etc/cron.hourly\n"
        "@weekly www-data tidy\n"
        "5 4 * * * root other\n"
        "* * * * * root",
        system=True,
    )
    assert first.members is not None
    assert (first.members["owner"], first.members["command"]) == ("root", "cd / && run-parts /etc/cron.hourly")
    assert first.warnings == ["the user root becomes the owner: the command runs as whoever the daemon runs as"]
    assert second.members is not None
    assert (second.members["owner"], second.members["schedule"]) == ("www-data", "@weekly")
    assert len(second.warnings) == 1
    assert third.warnings == []
    assert fourth == Entry(4, "* * * * * root", None, "the line ends before the user and the command", [])


@pytest.mark.parametrize(
    ("settings", "zone", "expected"),
    [
        ("", "", None),
        ("", "Europe/Berlin", "Europe/Berlin"),
        ("CRON_TZ=Asia/Tokyo", "Europe/Berlin", "Asia/Tokyo"),
        ("TZ=Asia/Tokyo", "", "Asia/Tokyo"),
        ("TZ=:Asia/Tokyo", "", "Asia/Tokyo"),
        ("TZ=Asia/Tokyo\nCRON_TZ=Asia/Seoul", "", "Asia/Seoul"),
        ("CRON_TZ=Asia/Seoul\nTZ=Asia/Tokyo", "", "Asia/Seoul"),
        ("CRON_TZ=Asia/Seoul\nCRON_TZ=", "Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_the_time_zone(settings: str, zone: str, expected: str | None) -> None:
    (entry,) = jobs(f"{settings}\n0 8 * * * true", zone=zone)
    assert entry.members is not None
    assert entry.members.get("time_zone") == expected
    assert "CRON_TZ" not in entry.members.get("environment", {})
    assert ("TZ" in entry.members.get("environment", {})) == ("\nTZ=" in f"\n{settings}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=b", {"A": "b"}),
        ("A = b c \t", {"A": "b c"}),
        ("A=", {"A": ""}),
        ('A=""', {"A": ""}),
        ("A=' b '", {"A": " b "}),
        ('A="it\'s"', {"A": "it's"}),
        ("A=b # no comment", {"A": "b # no comment"}),
        ("A=$HOME/bin:x=y", {"A": "$HOME/bin:x=y"}),  # nothing is expanded, as in cron
        ('"A" = b', {"A": "b"}),
        ("A=b\r", {"A": "b"}),
        ("# A=b", {}),
        ("MAILTO=", {}),
        ("MAILTO=me", {}),
        ("KALA_A=b", {}),
        ("A-B=c", {}),
    ],
)
def test_settings(line: str, expected: dict[str, str]) -> None:
    (entry,) = jobs(f"{line}\n0 8 * * * true")
    assert entry.members is not None
    assert entry.members.get("environment", {}) == expected
    lost = not expected and "=" in line and not line.startswith("#") and not line.endswith("=")
    assert bool(entry.warnings) == lost


def test_a_setting_for_home_is_where_commands_start() -> None:
    (entry,) = jobs("HOME=/srv/site\n0 8 * * * true")
    assert entry.members is not None
    assert entry.members["directory"] == "/srv/site"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("@reboot /usr/bin/start", "@reboot is not a schedule"),
        ("@every_minute true", "there is no such word"),
        ("60 * * * * true", "minute: '60' cannot be read"),
        ("0 0 30 2 * true", "day-of-month: no month of '2' has a day '30'"),
        ("* * * * *", "there is no command"),
        ("* * * * * \t", "there is no command"),
        ("* * * * * %input", "there is no command before the %"),
        ("@daily", "there is no command"),
        ("nonsense", "a cron expression has five fields"),
        ('A="b" c', "a cron expression has five fields"),
    ],
)
def test_lines_that_make_no_job(line: str, fault: str) -> None:
    bad, good = jobs(f"MAILTO=me\n{line}\n0 8 * * * true")
    assert (bad.line, bad.members) == (2, None)
    assert bad.fault.startswith(fault)
    assert bad.name == line.strip()
    assert good.members is not None
    assert len(good.warnings) == 1  # it was not lost with the line before


def test_an_unknown_zone_is_a_fault_of_each_line_that_goes_by_it() -> None:
    bad, good = jobs("CRON_TZ=Europe/Berln\n0 8 * * * true\nCRON_TZ=Europe/Berlin\n0 8 * * * true")
    assert bad.fault == "there is no time zone 'Europe/Berln': did you mean Europe/Berlin?"
    assert good.members is not None


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("echo plain", "plain\n"),
        ("echo 'it''s' \"$((1 + 1))\"; echo done # a comment", "its 2\ndone\n"),
        (r"echo 100\%", "100%\n"),
        (r"expr 'a\\b' : '.*'", "4\n"),  # only the backslash before a percent sign goes
        ("cat", ""),
        ("cat%", ""),
        ("cat%one", "one\n"),
        ("cat%one%two", "one\ntwo\n"),
        ("cat%one%%two%", "one\n\ntwo\n"),
        ("cat%%", "\n"),
        (r"cat; echo 5\%%it's 10\% of -n $HOME `x` \n%\%s", "it's 10% of -n $HOME `x` \\n\n%s\n5%\n"),
        ("true && cat || false%&& {", "&& {\n"),
        ("read a; echo \"<$a>\"; cat%first line%second", "<first line>\nsecond\n"),
        ("exit 3%unread", ""),
    ],
)  # fmt: skip
def test_a_command_does_what_cron_would_have_it_do(command: str, printed: str, shell: str) -> None:
    if not Path(shell).exists():
        pytest.skip(f"there is no {shell}")
    (entry,) = jobs(f"SHELL={shell}\n0 8 * * * {command}")
    assert entry.members is not None
    assert "%" not in entry.name or "\\%" in command
    run = subprocess.run(
        ["/bin/sh", "-c", entry.members["command"]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == (printed, "")
    assert run.returncode == (3 if "exit 3" in command else 0)


def test_a_command_runs_by_the_shell_that_is_set(tmp_path: Path) -> None:
    shell = tmp_path / "a shell"
    shell.write_text('#!/bin/sh\necho "$1|$2"\n')
    shell.chmod(0o755)
    (entry,) = jobs(f"SHELL={shell}\n0 8 * * * echo 'x y'")
    assert entry.members is not None
    run = subprocess.run(["/bin/sh", "-c", entry.members["command"]], capture_output=True, text=True, check=True)
    assert run.stdout == "-c|echo 'x y'\n"
