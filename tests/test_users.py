"""Which user is meant, and real processes that run as another one."""

import grp
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from processes import DEFAULTS, ENVIRONMENT, alive, command, printed, run, sh, wait_for
from processes import way as way
from switching import IN_A_CONTAINER, OTHER, WITHOUT_ROOT, needs_root, needs_setpriv, other
from switching import open_folder as open_folder

from kala.errors import CommandError
from kala.job import Attempt, Limits
from kala.processes.confinement import Confinement
from kala.processes.leftovers import end_leftovers, leftovers
from kala.processes.users import User, Users, find_user, parted
from kala.states import State
from kala.stop import Stop

ROOT = Path(__file__).resolve().parent.parent


def as_other() -> Confinement:
    return Confinement(other())


@pytest.mark.parametrize(
    ("text", "user", "group"),
    [
        ("nobody", "nobody", ""),
        ("1000", "1000", ""),
        ("0:0", "0", "0"),
        ("www-data:adm", "www-data", "adm"),
        ("a.b@c.example:X_1", "a.b@c.example", "X_1"),
        (r"DOMAIN\user", r"DOMAIN\user", ""),
        ("machine$", "machine$", ""),
        ("4294967294", "4294967294", ""),
    ],
)
def test_users_and_groups_are_told_apart(text: str, user: str, group: str) -> None:
    assert parted(text) == (user, group)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a:",
        ":a",
        "a:b:c",
        "-1",
        "+1",
        "a b",
        "a\n",
        "a/b",
        "ä",
        "a" * 129,
        "4294967295",
        "a:4294967296",
        "9" * 99,
    ],
)
def test_what_is_no_user_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="user"):
        parted(text)


def test_users_are_found_with_their_groups() -> None:
    me = pwd.getpwuid(os.getuid())
    user = find_user(me.pw_name)
    assert user[:3] == (me.pw_name, me.pw_uid, me.pw_gid)
    assert set(user.groups) == set(os.getgrouplist(me.pw_name, me.pw_gid))
    assert user.environment == {"HOME": me.pw_dir, "USER": me.pw_name, "LOGNAME": me.pw_name, "SHELL": me.pw_shell}
    assert find_user(str(me.pw_uid)) == user
    group = next(one for one in grp.getgrall() if one.gr_gid not in user.groups)
    for text in (f"{me.pw_name}:{group.gr_name}", f"{me.pw_uid}:{group.gr_gid}"):
        strange = find_user(text)
        assert (strange.gid, strange.own_group, group.gr_gid in strange.groups) == (group.gr_gid, False, True)
    assert find_user("54321:0") == User("54321", 54321, 0, (0,), "/", "/bin/sh", False)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("no-such-user", "there is no user no-such-user on this host"),
        ("nobody:no-such-group", "there is no group no-such-group on this host"),
        ("54321", "user 54321 is not known on this host, so that its group is needed: 54321:GROUP"),
    ],
)
def test_users_that_are_not_there(text: str, fault: str) -> None:
    with pytest.raises(CommandError) as caught:
        find_user(text)
    assert str(caught.value) == fault
    with pytest.raises(CommandError, match="on this host"):
        Users(text)


@needs_root
def test_with_a_default_nobody_becomes_root_nor_takes_a_group() -> None:
    def named(users: Users, text: str) -> User | None:
        return trio.run(users.named, text)

    free, guarded, rooted = Users(), Users("nobody"), Users("root")
    assert named(free, "") is None
    assert named(guarded, "") == other()
    assert named(guarded, "daemon") == named(free, "daemon") == find_user("daemon")
    for text in ("root", "0", "0:0", f"root:{other().gid}"):
        with pytest.raises(CommandError, match="root is refused"):
            named(guarded, text)
        for users in (free, rooted):
            user = named(users, text)
            assert user is not None
            assert user.uid == 0
    for text in ("nobody:root", "daemon:0", "54321:8"):
        with pytest.raises(CommandError, match="is not in group"):
            named(guarded, text)
        assert named(free, text) is not None
    assert named(Users("nobody:daemon"), "") == find_user("nobody:daemon")  # the default itself may


@needs_root
@pytest.mark.usefixtures("way")
class TestAsAnotherUser:
    """Whatever way a process is started."""

    def test_it_has_the_ids_and_groups_of_that_user_and_nothing_of_roots(self, open_folder: Path) -> None:
        secret = open_folder / "secret"
        secret.write_text("42")
        secret.chmod(0o600)
        user = find_user("nobody:daemon")._replace(groups=(1, 7, 65534))
        attempt, output = sh(
            f"grep -E '^(Uid|Gid|Groups|CapPrm|CapEff|CapAmb):' /proc/self/status; cat {secret} 2>&1",
            confinement=Confinement(user),
        )
        lines = [line.split() for line in output.decode().splitlines()]
        assert attempt.exit_code == 1, output
        assert {line[0]: line[1:] for line in lines[:6]} == {
            "Uid:": [str(user.uid)] * 4,
            "Gid:": ["1"] * 4,
            "Groups:": ["1", "7", "65534"],
            **{kind: ["0000000000000000"] for kind in ("CapPrm:", "CapEff:", "CapAmb:")},
        }
        assert lines[6][0] == "cat:"

    @needs_setpriv
    def test_it_cannot_become_root_again(self) -> None:
        for argv in (["setpriv", "--reuid=0", "id"], ["setpriv", "--regid=0", "id"], ["setpriv", "--groups=0", "id"]):
            attempt, output = run(*argv, confinement=as_other())
            assert attempt.state is State.FAILED
            assert b"uid=" not in output

    def test_its_programs_directories_and_interpreters_are_those_that_this_user_may_have(
        self, open_folder: Path
    ) -> None:
        for name, mode in {"closed": 0o700, "open": 0o755}.items():
            (open_folder / name).mkdir()
            program = open_folder / name / "program"
            program.write_text(f"#!/bin/sh\necho {name} $0 $PWD")
            program.chmod(0o755)
            (open_folder / name).chmod(mode)
        (open_folder / "own").write_text("#!/bin/sh\n")
        (open_folder / "own").chmod(0o700)
        closed, free, own = (str(open_folder / name) for name in ("closed", "open", "own"))

        def error(*argv: str, **options: object) -> str:
            attempt, output = run(*argv, confinement=as_other(), **options)
            assert (attempt.state, output) == (State.FAILED, attempt.error.encode())
            return attempt.error

        # PATH passes over what this user cannot see; root would take the first
        path = {"PATH": f"{closed}:{free}"}
        assert run("program", environment=path)[1].startswith(b"closed")
        attempt, output = run("program", environment=path, directory=free, confinement=as_other())
        assert (attempt.state, output) == (State.SUCCEEDED, f"open {free}/program {free}\n".encode())
        assert error("program", environment={"PATH": closed}) == "no such program: program (as user nobody)"
        assert error(own) == f"not executable: {own} (as user nobody)"
        assert error("own", environment={"PATH": str(open_folder)}) == "not executable: own (as user nobody)"
        assert error(f"{closed}/program") == f"not executable: {closed}/program (as user nobody)"
        assert error("true", directory=closed) == f"directory cannot be entered: {closed} (as user nobody)"
        assert error("true", directory=f"{free}/x") == f"no such directory: {free}/x (as user nobody)"

    def test_what_it_prints_is_read_also_by_name(self) -> None:
        attempt, output = sh("echo one; echo two > /dev/stdout; echo three > /dev/stderr", confinement=as_other())
        assert (attempt.state, output) == (State.SUCCEEDED, b"one\ntwo\nthree\n")

    def test_backticks_run_as_that_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(DEFAULTS, "confinement", as_other())
        assert printed("id", "-un") == "nobody\n"
        with pytest.raises(CommandError, match=r"no such program: no-such \(as user nobody\)"):
            printed("no-such")

    def test_its_environment_is_not_that_of_what_starts_it(self) -> None:
        # What a loader or an interpreter heeds would otherwise be heeded by one that is root still.
        heeded = {"LD_PRELOAD": "/no/such/library.so", "PYTHONVERBOSE": "1", "PYTHONHOME": "/nowhere", "PATH": "/bin"}
        attempt, output = run("/usr/bin/env", environment={**heeded, "LD_PRELOAD": ""}, confinement=as_other())
        assert attempt.state is State.SUCCEEDED
        assert set(output.decode().split()) == {f"{k}={v}" for k, v in {**heeded, "LD_PRELOAD": ""}.items()}
        complaints = run("/usr/bin/env", environment=heeded, confinement=as_other())[1].count(b"ERROR: ld.so")
        assert complaints == 1  # the program's own

    def test_it_is_ended_like_any_other(self) -> None:
        attempt, output = sh(
            "trap '' TERM; id -un; while :; do sleep 0.1; done", timeout=3, kill_after=0.2, confinement=as_other()
        )
        assert (attempt.state, attempt.signal, output) == (State.TIMED_OUT, signal.SIGKILL, b"nobody\n")
        attempt, output = sh("sleep 300 & echo $!", confinement=as_other())
        assert attempt.state is State.SUCCEEDED
        trio.run(wait_for, lambda: not alive(int(output)))

    def test_it_is_cancelled_while_it_is_being_confined(self) -> None:
        async def main() -> None:
            stops = [Stop() for _ in range(20)]
            attempts: list[Attempt] = []

            async def one(stop: Stop) -> None:
                options = {"on_start": lambda pid: stop.request(), "stop": stop, "confinement": as_other()}
                attempts.append((await command("sleep", "300", **options))[0])

            with trio.fail_after(30):
                async with trio.open_nursery() as nursery:
                    for stop in stops:
                        nursery.start_soon(one, stop)
            assert {(one.state, one.signal) for one in attempts} == {(State.CANCELLED, signal.SIGTERM)}

        trio.run(main)


@needs_root
def test_leftovers_of_other_users_are_found_and_ended() -> None:
    async def main() -> None:
        mine = {**ENVIRONMENT, "KALA_RUN_ID": "run-1"}
        script = ["sh", "-c", "trap '' TERM; sleep 301 & echo $$; wait; wait"]
        theirs = subprocess.Popen(  # noqa: ASYNC220
            script,
            env=mine,
            start_new_session=True,
            stdout=subprocess.PIPE,
            user=OTHER,
            group=other().gid,
            extra_groups=[],
        )
        with theirs:
            try:
                assert theirs.stdout is not None
                theirs.stdout.readline()
                await wait_for(lambda: len(leftovers(["run-1"])) == 2)
                assert theirs.pid in await end_leftovers(["run-1"], grace=0.3)
                assert leftovers(["run-1"]) == []
            finally:
                theirs.kill()

    trio.run(main)


@needs_root
@needs_setpriv
def test_leftovers_of_other_users_are_found_in_a_container() -> None:
    look = (
        "from kala.processes.leftovers import leftovers; import os; print(leftovers(['run-2']), os.access('/root', 2))"
    )
    theirs = subprocess.Popen(
        ["sleep", "300"], env={"KALA_RUN_ID": "run-2"}, user=OTHER, group=other().gid, extra_groups=[]
    )
    with theirs:
        try:
            found = subprocess.run(
                [*IN_A_CONTAINER, sys.executable, "-c", look],
                env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=True,
            )
            assert found.stdout == f"[{theirs.pid}] True\n"
        finally:
            theirs.kill()


WITHOUT_RIGHTS = """
import os, resource, trio
from kala.clock import Clock
from kala.errors import CommandError
from kala.job import Limits
from kala.processes.command import run_command
from kala.processes.confinement import Confinement
from kala.processes.users import Users
resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
def told(text, **limits):
    async def main():
        confinement = Confinement(await Users().named(text), Limits(**limits))
        told = {"environment": os.environ, "clock": Clock(), "confinement": confinement}
        return await run_command(["sh", "-c", "id -u; ulimit -Hn"], number=1, **told)
    try:
        attempt, output = trio.run(main)
    except CommandError as fault:
        return print(fault)
    print(attempt.error or output.decode().split())
told("daemon")
told("root")
told("nobody", open_files=100)
told("nobody:daemon")
told("", open_files=1024)
told("", nice=-5)
try:
    Users("daemon")
except CommandError as fault:
    print(fault)
"""


@needs_root
@needs_setpriv
def test_a_daemon_that_is_not_root_has_itself_only() -> None:
    found = subprocess.run(
        [*WITHOUT_ROOT, sys.executable, "-c", WITHOUT_RIGHTS],
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    me = other()

    def refused(name: str) -> str:
        ours = f"this one runs as user {me.uid}, group {me.gid}"
        return f"only a daemon that runs as root can start commands as {name}, and {ours}"

    assert found.stdout.splitlines() == [
        refused("daemon"),
        refused("root"),
        str([str(me.uid), "100"]),
        refused("nobody"),
        "limits.open_files: cannot be set to 1024: this is more than the system allows anyone but root",
        "limits.nice: cannot be set to -5: this is more than the system allows anyone but root",
        refused("daemon"),
    ]


def test_one_that_is_it_already_is_not_switched() -> None:
    me = find_user(str(os.getuid()))
    attempt, output = run("id", "-un", confinement=Confinement(me, Limits(nice=os.getpriority(os.PRIO_PROCESS, 0))))
    assert (attempt.state, output.decode().strip()) == (State.SUCCEEDED, me.name)
