"""Templates in commands, and in the URLs and bodies of calls: Go's text/template over the job, as in the original."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from kala.errors import TemplateFault
from kala.job import Record, Remote

CACHED = 256  # templates kept as they were read


class Compiled(Protocol):
    """A template that has been read (`gotemplate.py`)."""

    def render(self, data: Mapping[str, Any]) -> str: ...


def check(text: str, delimiters: str) -> None:
    """Raises TemplateFault when the delimiters are not two words, the template cannot be read, or the extra that
    reads templates is not installed."""
    compiled(text, delimiters)


def render(text: str, delimiters: str, members: Mapping[str, Any]) -> str:
    """`text` with what stands between the delimiters replaced. `members` is the data (`members_of`). Takes a third of
    a second at most, and gives at most 1 MiB. Raises TemplateFault."""
    return compiled(text, delimiters).render(members)


@lru_cache(maxsize=CACHED)
def compiled(text: str, delimiters: str) -> Compiled:
    """Raises TemplateFault."""
    words = delimiters.split()
    if len(words) != 2:
        raise TemplateFault(f"the delimiters must be two words, such as '{{{{ }}}}', and are {delimiters!r}")
    made: Compiled = engine().Compiled(text, *words)
    return made


def engine() -> ModuleType:
    """`gotemplate.py`. Raises TemplateFault when the extra is not installed."""
    try:
        return import_module("kala.gotemplate")
    except ImportError:
        raise TemplateFault("templates need the extra 'templates': pip install 'kala[templates]'") from None


def members_of(record: Record, dependents: Sequence[str] = ()) -> dict[str, Any]:
    """The job as a template sees it, under the names that the members of the original's `Job` have in Go.
    `dependents` are the jobs that have this one as a parent. Raises TemplateFault without the extra."""
    moment = engine().GoTime
    job, remote = record.job, record.job.remote or Remote()
    return {
        "Name": job.name,
        "Id": record.id,
        "Command": job.command,
        "Owner": job.owner,
        "Disabled": record.disabled,
        "DependentJobs": list(dependents),
        "ParentJobs": list(job.parent_jobs or ()),
        "OnFailureJob": job.on_failure_job,
        "Schedule": job.schedule,
        "Retries": job.retries,
        "Epsilon": job.epsilon,
        "NextRunAt": moment(record.last_due if record.cursor is None else record.cursor),
        "TemplateDelimiters": job.template_delimiters,
        "ResumeAtNextScheduledTime": job.resume_at_next_scheduled_time,
        "Metadata": {
            "SuccessCount": record.successes,
            "LastSuccess": moment(record.last_success),
            "ErrorCount": record.errors,
            "LastError": moment(record.last_error),
            "LastAttemptedRun": moment(record.last_attempted),
            "NumberOfFinishedRuns": record.finished,
        },
        "JobType": job.type,
        "RemoteProperties": {
            "Url": remote.url,
            "Method": remote.method,
            "Body": remote.body,
            "Headers": dict(remote.headers or {}),
            "Timeout": remote.timeout,
            "ExpectedResponseCodes": list(remote.expected_response_codes or ()),
        },
        "IsDone": record.is_done,
    }
