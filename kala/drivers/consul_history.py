"""Reading the history, for `consul.py`: a run, what it printed, pages of rows."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from kala.drivers.consul_http import OPERATIONS, Agent, Entry
from kala.drivers.consul_keys import BUCKET, PLACE, Header, Keys, decoded_text, read_run
from kala.drivers.consul_removal import Removal, pages_of
from kala.drivers.consul_time import Deadline
from kala.drivers.contract import RunPage, RunQuery
from kala.drivers.rows import decoded
from kala.errors import Invalid
from kala.job import Output, Run
from kala.states import NOT_RUN

_header_decoder = msgspec.json.Decoder(Header)

T = TypeVar("T")
Found = tuple[str, str]  # a row's place, and its run's id


class History:
    """Reads, for one driver."""

    def __init__(self, agent: Agent, keys: Keys, removal: Removal) -> None:
        self._agent, self._keys, self._removal = agent, keys, removal

    def run(self, run_id: str) -> Run | None:
        deadline = Deadline()
        entry = self._agent.found([self._keys.run(run_id)], deadline).get(self._keys.run(run_id))
        if entry is None:
            return None
        _, stage, run = read_run(entry)
        return None if self._removal.staged({entry.key: stage}, deadline) else decoded(run_id, run)

    def header(self, entry: Entry) -> Header:
        """Of an output."""
        return _header_decoder.decode(entry.data)

    def output(self, run_id: str) -> list[Output]:
        deadline = Deadline()
        headers = {entry.key: self.header(entry) for entry in self._agent.trees([self._keys.outputs(run_id)], deadline)}
        staged = self._removal.staged({key: header.stage for key, header in headers.items()}, deadline)
        found = {int(key.rpartition("/")[2]): header for key, header in headers.items() if key not in staged}
        elsewhere = [
            self._keys.data(run_id, attempt) for attempt, header in found.items() if header.length and not header.data
        ]
        data = self._agent.found(elsewhere, deadline)
        outputs = []
        for attempt, header in sorted(found.items()):
            entry_of_data = data.get(self._keys.data(run_id, attempt))
            if header.data or not header.length:
                outputs.append(Output(run_id, attempt, header.data or b"", header.size))
            elif entry_of_data is not None:  # else it was removed meanwhile
                outputs.append(Output(run_id, attempt, entry_of_data.data, header.size))
        return outputs

    def runs(self, query: RunQuery) -> RunPage:
        if query.after is not None and not PLACE.fullmatch(query.after):
            raise Invalid({"after": "is not the `next` of a page"})
        deadline = Deadline()
        job = query.job_id
        places = self._of_all(query, deadline) if job is None else self._of_job(job, query, deadline)
        rows: list[tuple[str, Run | None]] = []
        for place, run_id, text in self._read(places, query.limit, deadline):
            run = decoded(run_id, text)
            if run is None or _matches(query, run):
                rows.append((place, run))
            if len(rows) > query.limit:
                break
        following = rows[query.limit - 1][0] if len(rows) > query.limit else None
        return RunPage([run for _, run in rows[: query.limit] if run is not None], following)

    def _of_job(self, job_id: str, query: RunQuery, deadline: Deadline) -> Iterator[Found]:
        """The rows of a job, the latest first."""
        sides = {str(int(state not in NOT_RUN)) for state in query.states} if query.states is not None else {"0", "1"}
        for name in reversed(self._agent.names(self._keys.job(job_id), deadline) if sides else []):
            place, ran, run_id = name.rpartition("/")[2].split(".")
            if ran in sides and (query.after is None or place < query.after):
                yield place, decoded_text(run_id)

    def _of_all(self, query: RunQuery, deadline: Deadline) -> Iterator[Found]:
        """The rows of all jobs, the latest first, but for those that cannot match."""
        after = query.after or "~"
        for bucket in reversed(self.buckets(deadline)):
            if bucket > after[:BUCKET]:
                continue
            names = self._agent.names(self._keys.bucket(bucket), deadline)
            stamps = [stamp for name in reversed(names) if (stamp := name.rpartition("/")[2]) <= after]
            # A page has at least one row, and mostly many.
            for some in _growing(stamps, 8):
                pages = pages_of(self._agent.found(map(self._keys.page, some), deadline))
                for stamp in some:
                    for row in reversed(pages[stamp][0].rows if stamp in pages else []):
                        place = f"{stamp}{row.number:02}"
                        if place < after and query.fits(row.state, row.scheduled_for):
                            yield place, row.id

    def buckets(self, deadline: Deadline) -> list[str]:
        """Those that may hold pages, the earliest first."""
        names = self._agent.names(self._keys.times, deadline)
        return sorted({name.removeprefix(self._keys.times).partition("/")[0] for name in names})

    def _read(self, rows: Iterable[Found], limit: int, deadline: Deadline) -> Iterator[tuple[str, str, bytes]]:
        """The place, the id and the JSON of each of these that is there."""
        for some in _growing(rows, min(limit + 1, OPERATIONS)):
            found = self._agent.found((self._keys.run(run_id) for _, run_id in some), deadline)
            read = {key: read_run(entry) for key, entry in found.items()}
            staged = self._removal.staged({key: stage for key, (_, stage, _) in read.items()}, deadline)
            for place, run_id in some:
                key = self._keys.run(run_id)
                if key in read and key not in staged and read[key][0] == place:  # else it was pruned meanwhile
                    yield place, run_id, read[key][2]


def _growing(items: Iterable[T], first: int) -> Iterator[list[T]]:
    """In portions, the first the smallest, the others as large as one request takes."""
    some: list[T] = []
    for item in items:
        some.append(item)
        if len(some) == first:
            yield some
            some, first = [], OPERATIONS
    if some:
        yield some


def _matches(query: RunQuery, run: Run) -> bool:
    return (
        (query.states is None or run.state in query.states)
        and (query.since is None or run.scheduled_for >= query.since)
        and (query.until is None or run.scheduled_for < query.until)
    )
