"""What ran, by a file that every process wrote to, held against what the records say."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from sys import intern

from chaotic.faults import AHEAD, LIMITS, Strike
from chaotic.jobs import LOAD

from kala import ledger
from kala.clock import rfc3339
from kala.drivers.contract import Driver, RunQuery
from kala.job import Record, Run, decode_record
from kala.states import COUNTED, NOT_RUN, State

FAILED = (State.FAILED, State.TIMED_OUT)
SETTLED = 2.0
"""Seconds that an end may take to be durable on a busy machine: a run whose process was over so long is not lost."""
PAGE = 1_000
"""Runs that are read from the history at a time."""
TRIED = 10.0
"""Seconds that a start may take to be tried there: an attempt that could not be started has the moment before."""


class Verdict:
    """What the file and the records say, and where they part."""

    def __init__(
        self,
        folder: Path,
        driver: Driver,
        promised: list[str],
        cancelled: set[str],
        strikes: list[Strike],
        notices: dict[str, dict[str, object]],
    ) -> None:
        self.faults: list[str] = []
        self.not_started = 0  # attempts
        self.promised, self.cancelled, self.strikes, self.notices = promised, cancelled, strikes, notices
        self.lines: dict[tuple[str, int], list[float]] = {}
        self.where: dict[str, tuple[str, str, str]] = {}  # a job, a moment and a trigger, by the run's id
        self.over: dict[tuple[str, int], float] = {}
        with (folder / "ledger").open() as file:
            self._read(file)
        driver.open()
        self.records: dict[str, Record] = {s.key: decode_record(s.value) for s in driver.load("job")}
        self.ended: dict[str, Run] = {}
        query: RunQuery | None = RunQuery(limit=PAGE)
        while query is not None:
            page = driver.runs(query)
            self.ended.update((run.id, run) for run in page.runs)
            query = RunQuery(limit=PAGE, after=page.next) if page.next else None
        driver.close()
        self.open = {run.id: run for record in self.records.values() for run in record.open}

    def _read(self, ledger: Iterable[str]) -> None:
        """A million lines are read: what is in several of them is kept once."""
        attempts: dict[str, tuple[str, int]] = {}
        for line in ledger:
            words = line.split()
            if words[0] == "over":
                _, run_id, attempt, at = words
                self.over[attempts.get(f"{run_id} {attempt}") or (run_id, int(attempt))] = float(at)
                continue
            run_id, attempt, job_id, scheduled_for, trigger, at = words
            key = attempts.setdefault(f"{run_id} {attempt}", (run_id, int(attempt)))
            self.lines.setdefault(key, []).append(float(at))
            self.where[run_id] = intern(job_id), scheduled_for, intern(trigger)

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def check(self) -> None:
        self.nothing_twice()
        self.nothing_unknown()
        self.attempts_agree()
        self.lost_was_alive()
        self.not_started_is_explained()
        self.promises_are_kept()
        self.what_follows_came_or_comes()
        self.both_parents_were_waited_for()
        self.cancelled_are_cancelled()
        self.failures_were_told()
        self.every_occurrence_is_accounted_for()

    def nothing_twice(self) -> None:
        """No attempt ran twice, unless its job asks for that (`on_lost: rerun`); no occurrence has two runs."""
        for (run_id, attempt), times in self.lines.items():
            run = self.ended.get(run_id) or self.open.get(run_id)
            reruns = run is not None and self.records[run.job_id].job.on_lost == "rerun"
            if len(times) > 1 and not reruns:
                self.fault(f"attempt {attempt} of run {run_id} ran {len(times)} times ({' '.join(self.where[run_id])})")
        occurrences = Counter(where for where in self.where.values() if where[2] == "schedule")
        for where, count in occurrences.items():
            if count > 1:
                self.fault(f"an occurrence has {count} runs: {' '.join(where)}")

    def nothing_unknown(self) -> None:
        """The records know of every run that ran."""
        for run_id, where in self.where.items():
            if run_id not in self.ended and run_id not in self.open:
                self.fault(f"run {run_id} ran, and no record knows it ({' '.join(where)})")

    def attempts_agree(self) -> None:
        """Every attempt in the records has run, and every one that ran is in the records, or was lost or is on."""
        for run in self.ended.values():
            for attempt in run.attempts:
                if attempt.exit_code is not None and (run.id, attempt.number) not in self.lines:
                    self.fault(f"attempt {attempt.number} of run {run.id} is recorded, and did not run")
        for run_id, attempt in self.lines:
            run = self.ended.get(run_id)
            cut_off = run is not None and (run.state is State.LOST or (run.state is State.CANCELLED and run.cancel))
            if run is not None and not cut_off and attempt > len(run.attempts):
                self.fault(f"attempt {attempt} of run {run_id} ran, and is not in its record ({run.state.value})")

    def lost_was_alive(self) -> None:
        """A run is lost only when a kill met it, or a stop for longer than the lease: it had been claimed, and its
        process was not long over."""
        for run in self.ended.values():
            if run.state is not State.LOST:
                continue
            created, ended = run.created / 1e6, (run.ended or 0) / 1e6
            met = [
                one
                for one in self.strikes
                if one.kind in ("kill", "stop") and created <= one.shown_until + AHEAD and ended >= one.shown_since
            ]
            over = self.over.get((run.id, len(run.attempts) + 1))
            if not met:
                self.fault(f"run {run.id} is lost, and no kill met it, and no stop")
            elif over is not None and all(over + SETTLED < one.since for one in met):
                self.fault(f"run {run.id} is lost, and was over {met[0].since - over:.1f} s before")

    def not_started_is_explained(self) -> None:
        """An attempt that could not be started met a limit on descriptors or processes."""
        for run in self.ended.values():
            for attempt in run.attempts:
                if attempt.state is not State.FAILED or attempt.exit_code is not None or attempt.signal is not None:
                    continue
                self.not_started += 1
                if not any(one.kind in LIMITS and one.met(attempt.ended / 1e6, TRIED) for one in self.strikes):
                    self.fault(f"attempt {attempt.number} of run {run.id} did not start, and no limit was met")

    def promises_are_kept(self) -> None:
        for job_id in self.promised:
            if job_id not in self.records:
                self.fault(f"job {job_id} was answered with 201, and is not there")

    def what_follows_came_or_comes(self) -> None:
        """Every child, failure job and retry of a run that ended has run, or is still to come."""
        children: dict[str, list[str]] = defaultdict(list)
        for record in self.records.values():
            for parent in record.job.parent_jobs or ():
                children[parent].append(record.id)
        owed = {(entry.run, job) for record in self.records.values() for entry in record.outbox for job in entry.to}
        for run in self.ended.values():
            record = self.records[run.job_id]
            after: list[str] = []
            if run.state is State.SUCCEEDED:
                after = [
                    one
                    for one in children[record.id]
                    if self.records[one].created < run.created and self.records[one].job.parents_mode == "any"
                ]
            elif run.state in FAILED:
                after = [record.job.on_failure_job] if record.job.on_failure_job else []
                failed = sum(attempt.state in FAILED for attempt in run.attempts)  # others were cut off by a kill
                if failed != record.job.retries + 1 and not record.job.epsilon and not run.cancel:
                    self.fault(f"run {run.id} failed after {failed} attempts of {record.job.retries + 1}")
            for job_id in after:
                caused = ledger.child_run_id(run.id, job_id)
                if caused not in self.ended and caused not in self.open and (run.id, job_id) not in owed:
                    self.fault(f"run {run.id} should have set off job {job_id}, and did not")

    def both_parents_were_waited_for(self) -> None:
        """A child of two has run at most as often as either has succeeded, and has run when both have."""
        for record in self.records.values():
            if record.job.parents_mode != "all":
                continue
            ran = [r for r in (*self.ended.values(), *self.open.values()) if r.job_id == record.id and r.parent_run]
            owed = {entry.run for other in self.records.values() for entry in other.outbox if record.id in entry.to}
            parents = [
                {run.id for run in self.ended.values() if run.job_id == parent and run.state is State.SUCCEEDED}
                for parent in record.job.parent_jobs or ()
            ]
            if len(ran) > min(map(len, parents)) or (not ran and min(len(one - owed) for one in parents) > 0):
                successes = [len(one) for one in parents]
                self.fault(f"job {record.id} has run {len(ran)} times, and its parents succeeded {successes}")

    def cancelled_are_cancelled(self) -> None:
        """A run whose cancelling was answered with 202 was not tried again after it; it may have ended by itself."""
        for run_id in self.cancelled:
            run = self.ended.get(run_id)
            if run is None:
                self.fault(f"run {run_id} was cancelled, and has not ended")
            elif not run.cancel and run.reason != ledger.CANCELLED and run.state is State.CANCELLED:
                self.fault(f"run {run_id} was cancelled, and its record does not say so")

    def failures_were_told(self) -> None:
        """Of every run that failed its address has heard, or is still to hear."""
        told: Counter[str] = Counter()
        for notice in self.notices.values():
            told[str(notice["job"]["id"])] += 1 + int(notice["more"])  # type: ignore[index, call-overload]
        for record in self.records.values():
            if record.job.notify:
                owed = sum(1 + notice.more for notice in record.notices)
                failed = sum(run.job_id == record.id and run.state in FAILED for run in self.ended.values())
                if told[record.id] + owed < failed:
                    self.fault(f"job {record.id} has failed {failed} times, and {told[record.id]} were told")

    def every_occurrence_is_accounted_for(self) -> None:
        """Each occurrence up to the cursor is in exactly one record."""
        by_job: dict[str, Counter[int]] = defaultdict(Counter)
        growing = [record.gap for record in self.records.values() if record.gap is not None]
        for run in (*self.ended.values(), *self.open.values(), *growing):
            job = self.records[run.job_id].job
            if run.trigger in COUNTED and job.schedule:
                moments = [run.scheduled_for]
                if run.state in NOT_RUN and run.until is not None:
                    moments = list(ledger.plan_of(job).occurrences(run.scheduled_for - 1, run.until))
                by_job[run.job_id].update(moments)
        for record in self.records.values():
            if not record.job.schedule or record.cursor is None or record.is_child:
                continue
            plan = ledger.plan_of(record.job)
            first = record.created if plan.start is None else plan.start
            want = Counter(plan.occurrences(first - 1, record.cursor - 1))
            have = by_job[record.id]
            for occurrence in (want - have) + (have - want):
                times = have[occurrence]
                self.fault(f"occurrence {rfc3339(occurrence)} of job {record.id} is in {times} records")

    def load(self, rate: int) -> str:
        """What was asked for, and what ran of it."""
        seconds: Counter[int] = Counter()
        for (run_id, _), times in self.lines.items():
            record = self.records.get(self.where[run_id][0])
            if record is not None and (record.job.labels or {}).get("policy") == LOAD:
                seconds.update(map(int, times))
        if not seconds:
            return f"load: {rate:,} runs/s asked for; nothing ran"
        first, last = min(seconds), max(seconds)
        by_second = sorted(seconds[second] for second in range(first + 1, last))  # whole ones
        ran = sum(seconds.values())
        return (
            f"load: {rate:,} runs/s asked for; {ran:,} ran in {last - first + 1} s, {ran / (last - first + 1):,.0f}/s"
            f" with all faults; in the middle second {by_second[len(by_second) // 2]:,}, in the best {by_second[-1]:,}"
        )

    def table(self) -> str:
        """By policy: processes, and what became of runs and occurrences."""
        columns = ("succeeded", "failed", "timed_out", "cancelled", "lost", "skipped", "missed", "open")
        rows: dict[str, Counter[str]] = defaultdict(Counter)
        for run in (*self.ended.values(), *self.open.values(), *(r.gap for r in self.records.values() if r.gap)):
            policy = (self.records[run.job_id].job.labels or {}).get("policy", "")
            state = run.state.value if run.state.value in columns else "open"
            rows[policy][state] += run.count
            rows[policy]["processes"] += sum(len(self.lines.get((run.id, n), ())) for n in range(1, 20))
        names = ("processes", *columns)
        lines = ["| policy | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
        for policy, counts in sorted(rows.items()):
            lines.append(f"| {policy} | " + " | ".join(str(counts[name]) for name in names) + " |")
        return "\n".join(lines)

    def summary(self) -> str:
        states = Counter(run.state.value for run in self.ended.values())
        told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        ran = sum(len(times) for times in self.lines.values())
        return (
            f"{len(self.records)} jobs, {ran} processes, {len(self.strikes)} strikes; {told};"
            f" {len(self.open)} still open; {self.not_started} attempts could not be started"
        )
