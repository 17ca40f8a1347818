"""One attempt of a run: what it is told, the command or the HTTP call, and what came of it, as a value."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from kala import schedule, secrets, template
from kala.calls import remote
from kala.calls.connections import Connections
from kala.clock import SECOND, Clock, rfc3339
from kala.errors import CommandError, TemplateFault
from kala.job import REMOTE, Attempt, Job, Limits, Record, Remote, Run, replace
from kala.masking import Mask
from kala.outputs import Live, Outputs
from kala.processes import words
from kala.processes.command import run_command, substitute
from kala.processes.confinement import Confinement
from kala.processes.programs import Environment
from kala.processes.users import Users
from kala.secrets import SecretFault, Secrets
from kala.states import State
from kala.stop import Stop

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
        secrets: Secrets | None = None,
        users: Users | None = None,
    ) -> None:
        self._clock, self._node, self._connections, self._children = clock, node, connections, children
        self._output_limit, self._most_output, self._outputs = output_limit, most_output, outputs
        self._secrets, self._users = secrets or Secrets(), users or Users()
        self._environment = Environment({k: v for k, v in environment.items() if not k.startswith(OURS)})

    async def attempt(self, record: Record, run: Run, stop: Stop) -> tuple[Attempt, bytes]:
        """The next attempt of `run`, and what is kept of its output, which can be read as it comes. A job that cannot
        be run is an attempt that failed."""
        job = record.job
        limit = self._output_limit if job.output_limit is None else job.output_limit
        live = self._outputs.begin(record.id, run.id, _number(run), min(limit, self._most_output()))
        try:
            attempt, output = await self._made(record, run, stop, live)
        except Exception as bug:
            if live.mask is None:
                raise
            raise secrets.withheld(bug) from None
        if live.mask is not None:
            attempt, output = _masked(attempt, output, live.mask)
        live.end_with(output)
        return attempt, output

    async def _made(self, record: Record, run: Run, stop: Stop, live: Live) -> tuple[Attempt, bytes]:
        told, values = self.told(record, run), {}
        try:
            if names := secrets.names_of_attempt(record.job):
                values = await self._secrets.values(names)
                live.mask = Mask(value.encode() for value in values.values())
            if record.job.type == REMOTE:
                return await self._call(record, run, told, values, stop, live)
            return await self._command(record, run, told, values, stop, live)
        except (CommandError, SecretFault, TemplateFault) as fault:
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
        self, record: Record, run: Run, told: dict[str, str], values: Mapping[str, str], stop: Stop, live: Live
    ) -> tuple[Attempt, bytes]:
        job, given = record.job, record.job.environment or {}
        expand = words.expand
        if live.mask is not None:
            expand = partial(secrets.expanded, given=given, mask=live.mask)
            given = secrets.environment_with(given, values)
        confinement = await self._confinement(job)
        theirs = confinement.environment if confinement is not None else {}
        environment = self._environment.extended({**theirs, **given, **told})
        command, directory = self._rendered(job.command, record), job.directory or None
        if job.shell:
            argv = ["/bin/sh", "-c", command]
        else:
            within = partial(substitute, environment=environment, directory=directory, confinement=confinement)
            argv = await expand(words.parse(command), environment, within)
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
            confinement=confinement,
        )

    async def _confinement(self, job: Job) -> Confinement | None:
        """As whom and within which limits its command runs; None: as the daemon does."""
        try:
            user = await self._users.named(job.run_as)
        except CommandError as fault:
            raise CommandError(f"{'run_as' if job.run_as else '--run-as'}: {fault}") from None
        return None if user is None and job.limits is None else Confinement(user, job.limits or Limits())

    async def _call(
        self, record: Record, run: Run, told: dict[str, str], values: Mapping[str, str], stop: Stop, live: Live
    ) -> tuple[Attempt, bytes]:
        job, private = record.job, frozenset[bytes]()
        call = job.remote or Remote()
        call = replace(call, url=self._rendered(call.url, record), body=self._rendered(call.body, record))
        if values:
            call, private = secrets.call_with(call, job.remote or Remote(), values)
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
            private=private,
        )

    def _rendered(self, text: str, record: Record) -> str:
        if not (delimiters := record.job.template_delimiters):
            return text
        return template.render(text, delimiters, template.members_of(record, self._children(record.id) or ()))


def _number(run: Run) -> int:
    return len(run.attempts) + 1


def _masked(attempt: Attempt, output: bytes, mask: Mask) -> tuple[Attempt, bytes]:
    """What came of it, with an error that gives nothing away. What was printed has been masked as it came."""
    error, plain = mask.text(attempt.error), attempt.error.encode(errors="replace")
    if error == attempt.error:
        return attempt, output
    if output == plain:
        output = error.encode(errors="replace")
    size = len(output) if attempt.output_size == len(plain) else attempt.output_size
    return replace(attempt, error=error, output_size=size), output
