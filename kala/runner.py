"""One attempt of a run: what it is told, the command or the HTTP call, and what came of it, as a value."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from kala import schedule, template
from kala.calls import remote
from kala.calls.connections import Connections
from kala.clock import SECOND, Clock, rfc3339
from kala.errors import CommandError, TemplateFault
from kala.job import REMOTE, Attempt, Record, Remote, Run, replace
from kala.outputs import Outputs
from kala.processes import words
from kala.processes.command import run_command, substitute
from kala.processes.programs import Environment
from kala.states import State
from kala.stop import Stop
from kala.tail import Tail

OURS = "KALA_"
"""Variables of this beginning are the daemon's settings, with its secrets, or a run's own: none is inherited."""


class Runner:
    """Makes attempts. `environment` is what every process gets besides what it is told of its run; `children` names
    the jobs that depend on one, for templates. `output_limit` is how much of an output is kept, in bytes, when its job
    does not say, `most_output` how much the database takes, which is known when it is open."""

    def __init__(
        self,
        clock: Clock,
        *,
        node: str,
        environment: Mapping[str, str],
        output_limit: int,
        most_output: Callable[[], int],
        outputs: Outputs,
        connections: Connections,
        children: Callable[[str], Sequence[str] | None],
    ) -> None:
        self._clock, self._node, self._connections, self._children = clock, node, connections, children
        self._output_limit, self._most_output, self._outputs = output_limit, most_output, outputs
        self._environment = Environment({k: v for k, v in environment.items() if not k.startswith(OURS)})

    async def attempt(self, record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        """The next attempt of `run`, and what is kept of its output, which can be read as it comes. A job that cannot
        be run is an attempt that failed."""
        job = record.job
        limit = self._output_limit if job.output_limit is None else job.output_limit
        live = self._outputs.begin(record.id, run.id, _number(run), min(limit, self._most_output()))
        attempt, output = await self._made(record, run, stop, live)
        live.end_with(output)
        return attempt, output

    async def _made(self, record: Record, run: Run, stop: Stop, live: Tail) -> tuple[Attempt, bytes]:
        told = self.told(record, run)
        try:
            if record.job.type == REMOTE:
                return await self._call(record, run, told, stop, live)
            return await self._command(record, run, told, stop, live)
        except (CommandError, TemplateFault) as fault:
            now, output = self._clock.now(), str(fault).encode(errors="replace")
            failed = Attempt(_number(run), now, now, State.FAILED, output_size=len(output), error=str(fault))
            return failed, output

    def told(self, record: Record, run: Run) -> dict[str, str]:
        """What a run is told about itself: variables of a process, and, as `Kala-Job-Id` and so on, headers."""
        told = {
            "KALA_JOB_ID": record.id,
            "KALA_JOB_NAME": record.job.name,
            "KALA_RUN_ID": run.id,
            "KALA_SCHEDULED_FOR": rfc3339(run.scheduled_for),
            "KALA_ATTEMPT": str(_number(run)),
            "KALA_TRIGGER": run.trigger.value,
            "KALA_NODE": self._node,
        }
        if run.parent_run:
            told["KALA_PARENT_RUN_ID"] = run.parent_run
        return told

    async def _command(
        self, record: Record, run: Run, told: dict[str, str], stop: Stop, live: Tail
    ) -> tuple[Attempt, bytes]:
        job, environment = record.job, self._environment.extended({**(record.job.environment or {}), **told})
        command, directory = self._rendered(job.command, record), job.directory or None
        if job.shell:
            argv = ["/bin/sh", "-c", command]
        else:
            within = partial(substitute, environment=environment, directory=directory)
            argv = await words.expand(words.parse(command), environment, within)
        return await run_command(
            argv,
            number=_number(run),
            environment=environment,
            clock=self._clock,
            directory=directory,
            timeout=schedule.duration(job.timeout) / SECOND if job.timeout else None,
            kill_after=schedule.duration(job.kill_after) / SECOND,
            output=live,
            stop=stop,
        )

    async def _call(
        self, record: Record, run: Run, told: dict[str, str], stop: Stop, live: Tail
    ) -> tuple[Attempt, bytes]:
        job = record.job
        call = job.remote or Remote()
        call = replace(call, url=self._rendered(call.url, record), body=self._rendered(call.body, record))
        # Header values are ASCII by RFC 9110: a name beyond it travels percent-encoded.
        headers = {
            name.replace("_", "-").title(): quote(value, safe=" !#$&'()*+,/:;=?@[]~") for name, value in told.items()
        }
        return await remote.call(
            call,
            number=_number(run),
            clock=self._clock,
            headers={**headers, "Idempotency-Key": run.id},
            timeout=schedule.duration(job.timeout) / SECOND if job.timeout else None,
            output=live,
            connections=self._connections,
            stop=stop,
        )

    def _rendered(self, text: str, record: Record) -> str:
        if not (delimiters := record.job.template_delimiters):
            return text
        return template.render(text, delimiters, template.members_of(record, self._children(record.id) or ()))


def _number(run: Run) -> int:
    return len(run.attempts) + 1
