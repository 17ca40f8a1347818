"""An attempt, made by a real runner: how much of its output is kept."""

import os

import pytest
import trio

from kala.calls.connections import Connections
from kala.clock import Clock
from kala.hub import Hub
from kala.job import Job, Record, Run
from kala.outputs import Outputs
from kala.runner import Runner
from kala.states import State, Trigger
from kala.stop import Stop

PRINTED = 100_000


@pytest.mark.parametrize(
    ("of_the_server", "of_the_job", "of_the_database", "kept"),
    [
        (65_536, None, 1_000_000, 65_536),
        (65_536, 5_000, 1_000_000, 5_000),
        (65_536, 90_000, 1_000_000, 90_000),
        (65_536, None, 3_000, 3_000),
        (65_536, 90_000, 70_000, 70_000),
        (200_000, None, 1_000_000, PRINTED),
    ],
)
def test_the_least_limit_holds(of_the_server: int, of_the_job: int | None, of_the_database: int, kept: int) -> None:
    clock = Clock()
    runner = Runner(
        clock,
        node="here",
        environment=os.environ,
        output_limit=of_the_server,
        most_output=lambda: of_the_database,
        outputs=Outputs(clock, Hub()),
        connections=Connections(),
        children=lambda job_id: None,
    )
    job = Job("much", command=f"head -c {PRINTED} /dev/zero", output_limit=of_the_job)
    run = Run("run", "job", 0, Trigger.MANUAL, State.CLAIMED, 0)
    attempt, output = trio.run(runner.attempt, Record("job", job, 0), run, Stop())
    assert attempt.state is State.SUCCEEDED
    assert (attempt.output_size, len(output)) == (PRINTED, kept)
