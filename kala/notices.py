"""The sender of notifications: posts what the records owe to addresses, each until it is taken or given up."""

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping

import h11
import trio

from kala import ledger, secrets
from kala.agenda import Agenda
from kala.calls.connections import Connections
from kala.calls.remote import Answer, request_headers, send
from kala.calls.target import Refused, parsed
from kala.clock import Clock, rfc3339
from kala.errors import JobNotFound, KalaError, Stale
from kala.job import Notice, Record, Remote
from kala.lease import Lease
from kala.ledger import Change
from kala.logs import fields
from kala.masking import Mask
from kala.secrets import SecretFault, Secrets
from kala.store import Store
from kala.tail import Tail
from kala.tasks import Tasks
from kala.wire.jobjson import encode
from kala.wire.runjson import run_object

log = logging.getLogger(__name__)
Post = Callable[[str, Mapping[str, list[str]], bytes], Awaitable[str]]
"""Posts a body, with headers, to a URL. Returns what went wrong, empty when it was taken."""
AT_ONCE, TO_ONE = 20, 5
"""Posts that are on at once, in all and to one server: one that hangs does not hold up what is for others."""
TIMEOUT = 10.0
"""Seconds until a post without an answer counts as not taken."""


class Posts:
    """What became of posts since the start. `dropped`: notifications that were given up, since nobody took them."""

    sent = failed = dropped = 0


class Notices:
    """Owns the posts that are on, and the addresses whose turn has come. A task is for each post that is on, however
    many are owed. Of one job and address one is on at a time. Without `post` notifications stay owed."""

    def __init__(self, store: Store, clock: Clock, lease: Lease, tasks: Tasks, post: Post | None) -> None:
        self._store, self._clock, self._lease, self._tasks, self._post = store, clock, lease, tasks, post
        self._agenda = Agenda()  # of keys, each a job and an address
        self._busy: set[str] = set()  # keys whose turn has come
        self._queues: dict[str, deque[str]] = {}  # and of these those that wait for a place, by server
        self._on: Counter[str] = Counter()  # posts, by server
        self._posts: set[trio.CancelScope] = set()
        self._nap = trio.CancelScope()
        self.posts = Posts()

    def look(self, record: Record) -> None:
        """Enter what the record owes and is not being sent. Never waits."""
        if not record.notices or self._post is None:
            return
        for notice in ledger.next_notices(record):
            key = key_of(record.id, notice.url)
            if notice.instance == self._lease.id and key not in self._busy:
                head = self._agenda.head()
                self._agenda.put(key, notice.not_before)
                if head is None or notice.not_before < head:
                    self._nap.cancel()

    async def run(self) -> None:
        """Let posts begin until nothing is to start any more. What is on then goes on."""
        with self._tasks.until_stopping():
            while True:
                await self._lease.wait_valid()
                for _, key in self._agenda.pop_until(self._clock.now()):
                    self._admit(key)
                with trio.CancelScope() as self._nap:
                    head = self._agenda.head()
                    if head is None:
                        await trio.sleep_forever()
                    else:
                        await self._clock.sleep_until(head)

    def end(self) -> None:
        """Break off what is on: it stays owed, and the next start sends it again."""
        for scope in list(self._posts):
            scope.cancel()

    def _admit(self, key: str) -> None:
        self._busy.add(key)
        self._queues.setdefault(server_of(parts_of(key)[1]), deque()).append(key)
        self._fill()

    def _fill(self) -> None:
        """Give the places that are free, one server after another."""
        for server in list(self._queues):
            if self._tasks.stopping or self._on.total() >= AT_ONCE:
                return
            if self._on[server] < TO_ONE:
                queue = self._queues.pop(server)
                self._on[server] += 1
                self._tasks.nursery.start_soon(self._send, queue.popleft(), server)
                if queue:
                    self._queues[server] = queue  # behind the others

    async def _send(self, key: str, server: str) -> None:
        """Send what is owed next to an address, on a place that was given, and note what came of it."""
        job_id, url = parts_of(key)
        record = self._store.roster.get(job_id)
        notice = next((one for one in ledger.next_notices(record) if one.url == url), None) if record else None
        error: str | None = None
        try:
            if record is not None and notice is not None and self._is_due(notice):
                with trio.CancelScope() as scope:
                    self._posts.add(scope)
                    error = await self._posted(record, notice)
                    self.posts.failed += bool(error)
                    self.posts.sent += not error
                self._posts.discard(scope)
        finally:
            self._on -= Counter({server: 1})  # which forgets a server that has none
            self._fill()
        if notice is not None and error is not None and not await self._note(job_id, notice, error):
            return
        self._busy.discard(key)
        if (record := self._store.roster.get(job_id)) is not None and not self._tasks.stopping:
            self.look(record)

    def _is_due(self, notice: Notice) -> bool:
        """It is ours still, and its moment has come: it may have changed since its turn came."""
        return notice.instance == self._lease.id and notice.not_before <= self._clock.now() and self._lease.valid()

    async def _posted(self, record: Record, notice: Notice) -> str:
        assert self._post is not None  # noqa: S101  # without it nothing is entered
        headers = next((target.headers for target in record.job.notify or () if target.url == notice.url), None) or {}
        if all(name.lower() != "idempotency-key" for name in headers):
            headers = {**headers, "Idempotency-Key": [notice.id]}
        try:
            body = body_of(record, notice, self._lease.instance.node)
            return await self._post(notice.url, headers, body)
        except Exception as bug:  # a bug in one notification holds up no other
            log.exception("a notification failed by an internal error", extra=about(record.id, notice))
            return f"internal error: {type(bug).__name__}"

    async def _note(self, job_id: str, notice: Notice, error: str) -> bool:
        """What came of a post goes into the record; False when it cannot."""

        def decide(record: Record) -> Change:
            then = ledger.put_off if error else ledger.notified
            return then(record, notice_id=notice.id, now=self._clock.now())

        told = about(job_id, notice, error=error or None)
        try:
            change = await self._store.change(job_id, decide, patient=True)
        except (Stale, JobNotFound):
            return True  # somebody else has decided about it
        except KalaError as fault:  # the next start sends it again
            log.error("what came of a notification could not be recorded: %s", fault, extra=told)
            return False
        if not error:
            log.debug("notification sent", extra=told)
        elif all(one.id != notice.id for one in change.record.notices):
            self.posts.dropped += 1
            log.error("a notification has been given up: nobody took it for a day", extra=told)
        else:
            log.log(logging.DEBUG if notice.tries else logging.WARNING, "notification not taken yet", extra=told)
        return True


def poster(connections: Connections, source: Secrets | None = None) -> Post:
    """What posts over these connections, with secrets from `source` in headers. Any answer of 2xx takes it. A redirect
    is not followed, as what was posted would be asked for at the other place. Errors hold nothing of the URL but its
    host and port."""

    async def post(url: str, headers: Mapping[str, list[str]], body: bytes) -> str:
        if not (names := set(secrets.names_in(headers))):
            return await post_as_it_is(url, headers, body)
        try:
            values = await (source or Secrets()).values(names)
            headers = secrets.headers_with(headers, values)
        except SecretFault as fault:
            return str(fault)
        try:
            error = await post_as_it_is(url, headers, body)
        except Exception as bug:  # noqa: BLE001 - what is raised in its place is a bug as well
            raise secrets.withheld(bug) from None
        return Mask(value.encode() for value in values.values()).text(error)

    async def post_as_it_is(url: str, headers: Mapping[str, list[str]], body: bytes) -> str:
        if not server_of(url):
            return "not a URL that can be called"
        answer = Answer(Tail(0))
        with trio.move_on_after(TIMEOUT):
            try:
                lines = request_headers(Remote(url, headers=dict(headers)), {})
                await send(b"POST", parsed(url), lines, body, connections, answer)
            except Refused as refusal:
                if isinstance(refusal.__cause__, h11.LocalProtocolError):
                    return "not a request that can be sent"  # its text would show a header's value
                return str(refusal)
            return "" if 200 <= (answer.status or 0) < 300 else f"answered {answer.status}, expected 2xx"
        return f"timed out after {TIMEOUT:g} s"

    return post


def body_of(record: Record, notice: Notice, node: str) -> bytes:
    """What is posted: JSON. `more` are those of the same kind that it stands for besides."""
    job = record.job
    return encode(
        {
            "id": notice.id,
            "type": notice.kind,
            "at": rfc3339(notice.at),
            "node": node,
            "job": {"id": record.id, "name": job.name, "owner": job.owner, "labels": job.labels or {}},
            "run": run_object(notice.run, record),
            "more": notice.more,
        }
    )


def about(job_id: str, notice: Notice, **more: object) -> dict[str, object]:
    """Fields of the log. Of the address only its host and port: the rest of a URL is often a secret."""
    return fields(
        job=job_id, notification=notice.id, kind=notice.kind, run=notice.run.id, to=server_of(notice.url), **more
    )


def key_of(job_id: str, url: str) -> str:
    return f"{job_id}\0{url}"


def parts_of(key: str) -> tuple[str, str]:
    job_id, _, url = key.rpartition("\0")  # which no URL holds
    return job_id, url


def server_of(url: str) -> str:
    """Host and port; empty for what is not a URL."""
    try:
        return parsed(url).place
    except Refused:
        return ""
