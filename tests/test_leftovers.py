"""Processes that outlived their daemon."""

import subprocess
import sys

import trio
from processes import ENVIRONMENT, alive, wait_for

from kala.processes.leftovers import end_leftovers, leftovers


def test_leftovers_are_found_by_their_run_and_ended() -> None:
    async def main() -> None:
        script = "trap '' TERM; sleep 301 & sleep 302 & echo $$; wait; wait"
        mine = {**ENVIRONMENT, "KALA_RUN_ID": "run-1"}
        other = {**ENVIRONMENT, "KALA_RUN_ID": "run-11"}
        deaf = subprocess.Popen(["sh", "-c", script], env=mine, start_new_session=True, stdout=subprocess.PIPE)  # noqa: ASYNC220
        loose = subprocess.Popen(["sleep", "303"], env=mine)  # noqa: ASYNC220 - in our own group
        spared = subprocess.Popen(["sleep", "304"], env=other, start_new_session=True)  # noqa: ASYNC220
        try:
            assert deaf.stdout is not None
            deaf.stdout.readline()
            await wait_for(lambda: len(leftovers(["run-1"])) == 4)
            ended = await end_leftovers(["run-1", "run-2"], grace=0.3)
            assert {deaf.pid, loose.pid} <= set(ended)
            assert len(ended) == 4
            assert leftovers(["run-1"]) == []
            assert not any(map(alive, ended))
            assert leftovers(["run-11"]) == [spared.pid]
            assert await end_leftovers([]) == []
        finally:
            for process in (deaf, loose, spared):
                process.kill()
                process.wait()
            if deaf.stdout is not None:
                deaf.stdout.close()

    trio.run(main)


def test_this_process_and_its_ancestors_are_no_leftovers() -> None:
    script = (
        "import os, subprocess, sys; from kala.processes.leftovers import leftovers;"
        "print(leftovers(['run-9']), os.getpid());"
    )
    ours = subprocess.run(
        ["sh", "-c", f'"$0" -c "{script}"; true', sys.executable],
        env={**ENVIRONMENT, "KALA_RUN_ID": "run-9"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ours.stdout.startswith("[] ")
