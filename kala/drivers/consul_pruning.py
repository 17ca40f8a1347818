"""What is removed with time, for `consul.py`: rows and outputs of the history, and what writers have left behind."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from kala.clock import SECOND, Moment
from kala.drivers.consul_history import History
from kala.drivers.consul_http import OPERATIONS, Agent, Entry, Op
from kala.drivers.consul_keys import BUCKET, Head, Keys, bucket_start, decoded_text
from kala.drivers.consul_lane import Lanes
from kala.drivers.consul_removal import Outputs, Removal, Runs, pages_of
from kala.drivers.consul_time import AgentClock, Deadline
from kala.errors import StoreUnavailable

OVER = 3_600 * SECOND
"""A lane that has written nothing for so long, a stage that is so old, and a bucket that ended so long ago are over.
A writer that goes on with its lane or stage all the same is refused, and begins another."""
AT_ONCE = 256  # rows removed between two looks

_head_decoder = msgspec.json.Decoder(Head)


class Pruner:
    """Prunes, for one driver."""

    def __init__(
        self, agent: Agent, keys: Keys, lanes: Lanes, history: History, removal: Removal, clock: AgentClock
    ) -> None:
        self._agent, self._keys, self._lanes = agent, keys, lanes
        self._history, self._removal, self._clock = history, removal, clock
        self._earliest: dict[str, Moment] = {}  # the earliest end in buckets that are over, where that was seen
        self._trimmed = ""  # the stamp up to which outputs were seen to be gone
        self._lock = threading.Lock()

    def prune(self, jobs: Sequence[str] | None, keep: int, older_than: Moment | None) -> int:
        with self._turn() as deadline:
            count = self._of_jobs(jobs or (), keep, deadline)
            count += 0 if older_than is None else self._older(older_than, deadline)
            self._tidy_lanes(deadline)
            self._tidy_stages(deadline)
            return count

    def forget(self, jobs: Sequence[str]) -> int:
        return self._of_jobs(jobs, 0, Deadline())

    @contextmanager
    def _turn(self) -> Iterator[Deadline]:
        deadline = Deadline()
        if not self._lock.acquire(timeout=deadline.left()):
            raise StoreUnavailable(f"{self._agent.place}: the history is being pruned still")
        try:
            yield deadline
        finally:
            self._lock.release()

    def _of_jobs(self, jobs: Sequence[str], keep: int, deadline: Deadline) -> int:
        count = 0
        doomed: dict[str, Runs] = defaultdict(set)
        distinct = list(dict.fromkeys(jobs))
        for start in range(0, len(distinct), OPERATIONS):
            some = map(self._keys.job, distinct[start : start + OPERATIONS])
            entries = self._agent.trees(some, deadline)
            deadline.renew()
            seen: dict[str, int] = defaultdict(int)
            for entry in reversed(entries):
                job, _, name = entry.key.rpartition("/")
                place, ran, run_id = name.split(".")
                seen[job + ran] += 1
                if seen[job + ran] > keep:
                    doomed[place[:-2]].add(decoded_text(run_id))
            if len(doomed) >= AT_ONCE:
                count += self._remove(doomed, deadline)
                doomed.clear()
        return count + self._remove(doomed, deadline)

    def _remove(self, doomed: dict[str, Runs], deadline: Deadline) -> int:
        """Remove rows with what their runs printed; the outputs first, so that none is left without its run."""
        runs = [run_id for some in doomed.values() for run_id in some]
        outputs: dict[str, Outputs] = defaultdict(set)
        for start in range(0, len(runs), OPERATIONS):
            of_run = {self._keys.outputs(run_id): run_id for run_id in runs[start : start + OPERATIONS]}
            for entry in self._agent.trees(of_run, deadline):
                key, _, attempt = entry.key.rpartition("/")
                header = self._history.header(entry)
                outputs[header.stamp].add((of_run[f"{key}/"], int(attempt)))
        self._removal.outputs(outputs, deadline)
        return self._removal.rows(doomed, deadline)

    def _older(self, older_than: Moment, deadline: Deadline) -> int:
        count = 0
        for bucket, earliest in self._bounds(deadline).items():
            if max(earliest, self._earliest.get(bucket, earliest)) >= older_than:
                continue
            over = self._is_over(bucket)
            entries = self._agent.entries(self._keys.bucket(bucket), deadline)
            deadline.renew()
            pages = pages_of({entry.key: entry for entry in entries})
            doomed: dict[str, Runs] = {}
            for stamp, (page, _) in pages.items():
                if some := {row.id for row in page.rows if row.at < older_than}:
                    doomed[stamp] = some
            count += sum(self._remove(dict(some), deadline) for some in _portions(list(doomed.items())))
            left = [row.at for page, _ in pages.values() for row in page.rows if row.at >= older_than]
            if over:
                self._earliest[bucket] = min(left, default=older_than)
                if not left and not self._agent.names(self._keys.printed_bucket(bucket), deadline):
                    self._drop_bucket(bucket, deadline)
        return count

    def _drop_bucket(self, bucket: str, deadline: Deadline) -> None:
        if self._agent.names(self._keys.bucket(bucket), deadline):
            return  # others appended late
        with self._lanes.one(deadline) as lane:
            ops = [Op("delete-tree", f"{self._keys.times}{bucket}/")]
            lane.transact(ops, deadline, stamp=lane.stamp())
        self._earliest.pop(bucket, None)

    def _bounds(self, deadline: Deadline) -> dict[str, Moment]:
        """The earliest end that a bucket may hold, by bucket."""
        found: dict[str, Moment] = {}
        for entry in self._agent.entries(self._keys.times, deadline):
            bucket = entry.key.removeprefix(self._keys.times).partition("/")[0]
            found[bucket] = min(int(entry.data), found.get(bucket, int(entry.data)))
        return found

    def _is_over(self, bucket: str) -> bool:
        return bucket_start(str(int(bucket) + 1)) + OVER < self._clock.now()

    def trim(self, limit: int) -> int:
        with self._turn() as deadline:
            total = sum(head.bytes for head, _ in self._heads(deadline).values())
            dropped = 0
            while total - dropped > limit:
                began, before = self._trimmed, dropped
                for doomed, until in self._oldest(total - dropped - limit, deadline):
                    dropped += self._removal.outputs(doomed, deadline)
                    self._trimmed = until
                    if total - dropped <= limit:
                        break
                if dropped == before:
                    if not began:
                        break  # others trim at the same time, or somebody's hand was at it
                    self._trimmed = ""  # something was appended late, before the place that was reached
            return dropped

    def _oldest(self, excess: int, deadline: Deadline) -> Iterator[tuple[dict[str, Outputs], str]]:
        """Outputs, those first that were appended first, until they have so many bytes; and the stamp up to which
        nothing is left when they are gone."""
        reached = self._trimmed
        for bucket in self._history.buckets(deadline):
            if bucket < reached[:BUCKET]:
                continue
            names = self._agent.names(self._keys.printed_bucket(bucket), deadline)
            stamps = [stamp for name in names if (stamp := name.rpartition("/")[2]) >= reached]
            for start in range(0, len(stamps), OPERATIONS):
                some = stamps[start : start + OPERATIONS]
                pages = pages_of(self._agent.found(map(self._keys.printed, some), deadline))
                doomed: dict[str, Outputs] = defaultdict(set)
                for stamp in some:
                    for one in pages[stamp][0].printed if stamp in pages else []:
                        if excess > 0:
                            doomed[stamp].add((one.run_id, one.attempt))
                            excess -= one.length
                            reached = stamp
                if doomed:
                    yield doomed, reached
                if excess <= 0:
                    return

    def _heads(self, deadline: Deadline) -> dict[str, tuple[Head, Entry]]:
        return {
            entry.key.removeprefix(self._keys.lanes): (_head_decoder.decode(entry.data), entry)
            for entry in self._agent.entries(self._keys.lanes, deadline)
        }

    def _tidy_lanes(self, deadline: Deadline) -> None:
        """Add up what old lanes have counted, and remove them with what they tell to listeners."""
        before = f"{self._clock.now() - OVER:016}"
        for name, (head, entry) in self._heads(deadline).items():
            with self._lanes.one(deadline) as lane:
                if head.stamp >= before or name == lane.id:
                    continue
                gone = self._agent.found([self._keys.forgotten], deadline).get(self._keys.forgotten)
                until = max(entry.modify_index, 0 if gone is None else int(gone.data))
                ops = [
                    Op("check-index", entry.key, index=entry.modify_index),
                    Op("delete", entry.key),
                    Op("delete-tree", f"{self._keys.changed}{name}/"),
                    Op("cas", self._keys.forgotten, b"%d" % until, 0 if gone is None else gone.modify_index),
                ]
                # When it is refused another has done it, or the lane has gone on.
                lane.transact(ops, deadline, stamp=lane.stamp(), growth=head.bytes)

    def _tidy_stages(self, deadline: Deadline) -> None:
        before = f"{self._clock.now() - OVER:016}"
        for name in self._agent.names(self._keys.staged, deadline):
            stage = name.removeprefix(self._keys.staged)
            if stage < before:
                with self._lanes.one(deadline) as lane:
                    self._removal.clean(stage, deadline, lane)


def _portions(items: list[tuple[str, Runs]]) -> Iterator[list[tuple[str, Runs]]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
