"""The corpus against a real daemon: group by group, with a look at it after each."""

import contextlib
import http.client
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import trio

from tests.daemon_process import API, KalaProcess, wait_for

from . import bodies, http1, http2, slow, sockets, values
from .figures import Figures, figures
from .shape import JOB, Group, get, post
from .slow import Deaf, Drip
from .talk import DEADLINE, SHAKE, Peer, Tally, Wrong, flat, run_group

GROUPS: list[Group] = [
    *http1.GROUPS,
    *http2.GROUPS,
    *sockets.GROUPS,
    *bodies.GROUPS,
    *values.GROUPS,
    slow.HALVES,
]
AT_ONCE, TRIES = 1.0, 3
"""Second in which /healthz must be answered, once of so many times: others use the machine, too."""
FOREVER = "R/9000-01-01T00:00:00Z/P1D"
MANY = 2_000  # jobs: their list and their events are more than systems hold for one who does not read
ROOM = 15.0  # seconds
IDLE = 3_000  # connections, of which the daemon keeps some 1,000
HANGING = 40  # connections of each kind that are open at a stop
STOP_SECONDS = 15.0  # for a stop while they are: it gives 3 to what is on
DESCRIPTORS, THREADS, MEGABYTES = 8, 8, 96
"""So much more of these may be held at the end: of the jobs that were deleted it knows for a day that they were."""
MEGABYTES_AGAIN = 32
"""So much more memory when all has been tried again, but for what takes its time."""
SETTLED = 30.0  # seconds after which connections that nobody serves are gone


class Hostile:
    """One run of the corpus. `tallies` are what came of each group; `wrong` is all that was not right."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda text: None) -> None:
        self.kala = KalaProcess(folder / "daemon")
        self.folder, self.say = folder, say
        self.tallies: list[Tally] = []
        self.wrong: list[str] = []
        self.slowest = 0.0  # seconds in which /healthz was answered
        self.before = self.after = self.again = Figures(0, 0, 0)
        self.most = Figures(0, 0, 0)
        self.job = ""
        self.runs = 0
        self.stops: list[str] = []
        self.begun = time.monotonic()

    def run(self) -> None:
        """Everything. What was wrong is in `wrong`."""
        with self.kala:
            self.job = self.kala.create(name="before")
            self._warm_up()
            self.before = figures(self.kala.pid)
            self._groups()
            self._slowly()
            self._idle()
            self.after = self._settled(MEGABYTES)
            known, self.tallies = self.tallies, []
            self._groups()
            self._idle()
            self.tallies = known
            self.again = self._settled(self.after.megabytes - self.before.megabytes + MEGABYTES_AGAIN)
            self._look_into_the_log()
        self._stops()

    def _groups(self) -> None:
        for group in GROUPS:
            self._try(group.name, run_group, group.inputs, group.at_once)

    def _warm_up(self) -> None:
        """What the first requests bring with them is not growth."""
        for path in ("/", f"{API}/job/", f"{API}/run/", f"{API}/openapi.json", f"{API}/schedule/due/"):
            assert self.kala.get(path).status == 200 if path != "/" else True
        self._look("before")

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.kala.url)
        return str(parts.hostname), int(parts.port or 0)

    def _try(self, name: str, go: Callable[..., object], *arguments: object) -> Tally:
        tally = Tally(name)
        trio.run(go, self.address, tally, *arguments)
        self._done(tally)
        return tally

    def _done(self, *tallies: Tally) -> None:
        for tally in tallies:
            self.tallies.append(tally)
            self.wrong += tally.wrong
            tally.deaths += not self.kala.running
            self._look(tally.name)
            self.say(f"{row(tally)} {time.monotonic() - self.begun:.0f} s, {figures(self.kala.pid)}")

    def _look(self, name: str) -> None:
        """The daemon is the one that it was, answers at once, and runs what it is asked to run."""
        if not self.kala.running:
            raise AssertionError(f"{name}: it died\n{self.kala.log()[-5_000:]}")
        took = [self._asked(name) for _ in range(TRIES)]
        self.slowest = max(self.slowest, min(took))
        if min(took) > AT_ONCE:
            self.wrong.append(f"{name}: /healthz was answered after {min(took):.1f} s")
        self.runs += 1
        self.kala.post(f"{API}/job/start/{self.job}/")
        if (count := self.kala.job(self.job)["metadata"]["success_count"]) != self.runs:
            self.wrong.append(f"{name}: the job has run {count} times, and not {self.runs}")
        now = figures(self.kala.pid)
        self.most = Figures(*map(max, self.most, now))

    def _asked(self, name: str) -> float:
        """Seconds in which /healthz was answered."""
        begun = time.monotonic()
        if (status := self.kala.get("/healthz").status) != 200:
            self.wrong.append(f"{name}: /healthz answered {status}")
        return time.monotonic() - begun

    def _slowly(self) -> None:
        """Those who stop, drip and do not read, all at once, as they take the time that the daemon gives them."""
        with contextlib.closing(self._crowd()):
            stops, drips, deaf = Tally(slow.STOPS.name), Tally("senders by bytes"), Tally("readers that do not read")
            shakes = Tally(sockets.HANDSHAKES.name)
            held: list[trio.SocketStream] = []

            async def all_of_them() -> None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run_group, self.address, stops, slow.STOPS.inputs, slow.STOPS.at_once)
                    shaking = sockets.HANDSHAKES
                    nursery.start_soon(run_group, self.address, shakes, shaking.inputs, shaking.at_once)
                    for drip in slow.DRIPS:
                        nursery.start_soon(dripped, self.address, drips, drip)
                    for one in slow.DEAF:
                        nursery.start_soon(unread, self.address, deaf, one, held)
                    await trio.to_thread.run_sync(self._events)
                    await trio.to_thread.run_sync(self._let_go)
                for stream in held:
                    await stream.aclose()

            trio.run(all_of_them)
            deaf.closes += len(held)
        self._done(shakes, stops, drips, deaf)

    def _crowd(self) -> "Crowd":
        job = JOB.replace(b'"true"', b'"true %s"' % (b"x" * 2_500))
        lines = b"\n".join([job] * MANY)
        self.kala.request("POST", f"{API}/job/batch/", lines, {"Content-Type": "application/x-ndjson"})
        return Crowd(self)

    def _events(self) -> None:
        """Enough of them that whoever does not read falls behind."""
        self._delete_others()
        self._crowd()

    def _let_go(self) -> None:
        """The daemon lets go of those who do not read, although they are still there."""
        limit = self.before.descriptors + DESCRIPTORS
        with contextlib.suppress(AssertionError):
            wait_for(lambda: figures(self.kala.pid).descriptors <= limit, lambda: "", SETTLED)
        if (held := figures(self.kala.pid).descriptors) > limit:
            self.wrong.append(f"readers that do not read: {held} descriptors are open still, and {limit} may be")

    def _delete_others(self) -> None:
        self.kala.delete(f"{API}/job/all/")
        self.job = self.kala.create(name="before")
        self.runs = 0

    def _idle(self) -> None:
        """Connections that say nothing: some that never have, and some that have been answered."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = IDLE + 500
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise AssertionError(f"this machine lets a process open {hard} files, and {wanted} are needed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        tally = Tally("idle connections")
        connections: list[socket.socket] = []
        try:
            for number in range(IDLE):
                one = socket.create_connection(self.address, timeout=DEADLINE)
                connections.append(one)
                tally.inputs += 1
                if number % 2:
                    answer = b""
                    with contextlib.suppress(ConnectionError):  # closed without a word, as many were told before
                        one.sendall(get(b"/healthz"))
                        answer = one.recv(1 << 16)
                    tally.statuses[status := int(answer[9:12] or 0)] += 1
                    if status not in (200, 503, 0):
                        tally.wrong.append(f"{tally.name}: the one with number {number}: {answer[:100]!r}")
                    if status != 200:
                        wait_for(self._has_room, lambda: "nobody makes room", ROOM)
            if tally.statuses[200] < IDLE // 4:
                tally.wrong.append(f"{tally.name}: only {tally.statuses[200]} were answered")
            # Who has said nothing makes room after a second
            wait_for(self._has_room, lambda: "/healthz is not answered", ROOM)
            self._look(f"{tally.name}, while they are there")
            tally.closes = sum(map(is_closed, connections))
            if not IDLE // 2 < tally.closes < IDLE:
                tally.wrong.append(f"{tally.name}: {tally.closes} were closed to make room")
        finally:
            for one in connections:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self._done(tally)

    def _has_room(self) -> bool:
        try:
            return self.kala.get("/healthz").status == 200
        except (ConnectionError, http.client.HTTPException):
            return False

    def _settled(self, megabytes: float) -> Figures:
        """What it holds when all jobs are deleted: what it held before, and so much more memory at most."""
        self._delete_others()
        held = self.before
        bounds = Figures(held.descriptors + DESCRIPTORS, held.threads + THREADS, held.megabytes + megabytes)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: fits(figures(self.kala.pid), bounds), lambda: "", SETTLED)
        if not fits(now := figures(self.kala.pid), bounds):
            self.wrong.append(f"at the end it holds {now}, and may hold {bounds}")
        return now

    def _look_into_the_log(self) -> None:
        """It knows of no bug."""
        for line in self.kala.log().splitlines():
            if any(word in line for word in ("Traceback", "internal error", "level=error", "level=critical")):
                self.wrong.append(f"in the log: {line[:2_000]}")

    def _stops(self) -> None:
        """A stop while connections of a kind hang, for each kind on a daemon of its own."""
        with ThreadPoolExecutor(4) as pool:
            for text, fault in pool.map(self._stop, HANGS.items()):
                self.stops.append(text)
                if fault:
                    self.wrong.append(f"{text}: {fault}")
                self.say(text)

    def _stop(self, hang: tuple[str, bytes]) -> tuple[str, str]:
        name, data = hang
        kala = KalaProcess(self.folder / name.replace(" ", "-"), "--no-persist")
        parts = urlsplit(kala.start().url)
        connections: list[socket.socket] = []
        try:
            job = JOB.replace(b'"true"', b'"true %s"' % (b"x" * 50_000))
            kala.request("POST", f"{API}/job/batch/", b"\n".join([job] * 200), {"Content-Type": "application/x-ndjson"})
            for _ in range(HANGING):
                one = socket.socket()
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                one.connect((str(parts.hostname), int(parts.port or 0)))
                one.sendall(data)
                connections.append(one)
            kala.get("/healthz")
            begun = time.monotonic()
            code = kala.stop(number=signal.SIGTERM)
            took = time.monotonic() - begun
            text = f"stop while there hang: {name}"
            fault = ""
            if code != 0 or took > STOP_SECONDS or "Traceback" in kala.log():
                fault = f"exit code {code} after {took:.1f} s\n{kala.log()[-2_000:]}"
            return f"{text}: exit code {code} after {took:.1f} s", fault
        finally:
            for one in connections:
                one.close()
            kala.close()

    @property
    def inputs(self) -> int:
        return sum(tally.inputs for tally in self.tallies)

    def table(self) -> Iterator[str]:
        """In Markdown."""
        yield "| group | inputs | 1xx, 2xx, 3xx | 4xx | 5xx | ended by the daemon | deaths |"
        yield "|---|---|---|---|---|---|---|"
        yield from map(row, self.tallies)
        closes, deaths = sum(tally.closes for tally in self.tallies), sum(tally.deaths for tally in self.tallies)
        yield f"| all | {self.inputs:,} | | | | {closes:,} | {deaths} |"
        yield ""
        yield f"Before: {self.before}. At most: {self.most}. After: {self.after}. All a second time:"
        yield f"{self.again}."
        yield f"/healthz was answered in {self.slowest * 1000:.0f} ms at most. {len(self.wrong)} were not right."
        yield ""
        yield from (f"* {text}" for text in self.stops)


class Crowd:
    """Many jobs, until they are deleted."""

    def __init__(self, hostile: Hostile) -> None:
        self._hostile = hostile

    def close(self) -> None:
        self._hostile._delete_others()


HANGS = {
    "nothing": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: lo",
    "half a body": post(f"{API}/job/".encode(), JOB)[:-9],
    "half a batch": post(f"{API}/job/batch/".encode(), JOB * 3)[:-9],
    "lists that nobody reads": get(f"{API}/job/".encode()),
    "events that nobody reads": get(f"{API}/events/".encode()),
    "websockets": SHAKE,
    "idle connections": get(b"/healthz"),
}


def row(tally: Tally) -> str:
    by_class = [
        sum(n for status, n in tally.statuses.items() if status // 100 in some) for some in ((1, 2, 3), (4,), (5,))
    ]
    return (
        f"| {tally.name} | {tally.inputs:,} | "
        + " | ".join(f"{n:,}" for n in [*by_class, tally.closes, tally.deaths])
        + " |"
    )


def fits(held: Figures, bounds: Figures) -> bool:
    return all(one <= most for one, most in zip(held, bounds, strict=True))


def is_closed(one: socket.socket) -> bool:
    """Whether the peer has ended it."""
    one.setblocking(False)
    try:
        return one.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


async def dripped(address: tuple[str, int], tally: Tally, case: Drip) -> None:
    """Send a byte now and then until there is an answer."""
    tally.inputs += 1
    try:
        with trio.fail_after(DEADLINE):
            async with await trio.open_tcp_stream(*address) as stream, trio.open_nursery() as nursery:
                peer = Peer(stream)
                nursery.start_soon(drip, peer, case)
                answer = await peer.answer()
                nursery.cancel_scope.cancel()
        if answer is None or answer.status not in case.answers:
            raise Wrong(f"{answer}, and not {sorted(case.answers)}")
        tally.count(answer)
        tally.closes += 1
    except* (Wrong, OSError, trio.TooSlowError) as group:
        tally.wrong.append(f"{tally.name}: {case.name}: {'; '.join(map(repr, flat(group)))}")


async def drip(peer: Peer, case: Drip) -> None:
    await peer.send(case.begin)
    while True:
        for byte in case.rest:
            await peer.send(bytes([byte]))
            await trio.sleep(case.seconds)


async def unread(address: tuple[str, int], tally: Tally, case: Deaf, held: list[trio.SocketStream]) -> None:
    """Ask, and read nothing. The stream is added to `held`, whose owner closes it."""
    tally.inputs += 1
    one = trio.socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    await one.connect(address)
    stream = trio.SocketStream(one)
    held.append(stream)
    with contextlib.suppress(trio.BrokenResourceError), trio.move_on_after(DEADLINE):
        await stream.send_all(case.data)
