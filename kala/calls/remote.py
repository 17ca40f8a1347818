"""One HTTP call: a remote job's attempt. Knows nothing of jobs."""

import re
import time
from collections.abc import Mapping

import h11
import trio

import kala
from kala.calls.connections import Connections
from kala.calls.http1 import Lost
from kala.calls.opening import ConnectFailed
from kala.calls.plain import Headers
from kala.calls.target import Refused, Target, parsed, redirected, url_fault
from kala.clock import SECOND, Clock
from kala.errors import shortened
from kala.job import Attempt, Remote
from kala.states import State
from kala.stop import Stop
from kala.tail import Tail

TIMEOUT = 30  # seconds; this and the next three as in the original
EXPECTED = (200,)
METHOD = "GET"
MAX_REDIRECTS = 10
MAX_TIMEOUT = 86_400  # seconds
REDIRECTS = frozenset({301, 302, 303, 307, 308})

DEFAULTS = (
    (b"Content-Type", b"application/json"),
    (b"User-Agent", f"kala/{kala.__version__}".encode("ascii")),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"identity"),  # what is kept is to be readable, and nothing is unpacked here
)
# What a connection sets itself; the original ignores these as well.
OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "trailer"})
# Not for another host: https://fetch.spec.whatwg.org/#http-redirect-fetch and Go's net/http.
SECRET_HEADERS = frozenset({b"authorization", b"cookie", b"cookie2", b"www-authenticate", b"proxy-authorization"})
BODY = b":body"  # among what is private; no header has such a name

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110, 5.5: none in a value, but for tabs
BLANKS = " \t"  # ibid.: within a value only


class Answer:
    """What has come of an answer so far."""

    def __init__(self, output: Tail) -> None:
        self.status: int | None = None
        self.waits = False  # for a slot: nothing has been sent
        self.body = output  # of the latest one
        self.output = output  # for that of the last one, which is no redirect

    def redirect(self) -> Tail:
        """For the body of a redirect."""
        mask = self.output.mask
        return Tail(self.output.limit, mask and mask.fresh())


async def call(
    remote: Remote,
    *,
    number: int,
    clock: Clock,
    connections: Connections,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - a rule for the call's outcome
    output: Tail,
    stop: Stop | None = None,
    private: frozenset[bytes] = frozenset(),
) -> tuple[Attempt, bytes]:
    """Make a call, as attempt `number`. Returns the attempt and what is kept of the answer's body: its beginning,
    which goes to `output` as it comes. The body is read to its end. What goes wrong is in the attempt, never raised.

    `headers` are added where `remote` has none of that name. `timeout` is in seconds, for the whole call, and goes
    before the remote's own. A request of `stop` ends the call at once, as cancelled. Redirects are followed; GET
    follows 301, 302 and 303. What is `private`, names of headers in lower case or `BODY`, is sent to no other host.
    """
    started, reading = clock.now(), time.monotonic()
    timeout = timeout or remote.timeout or TIMEOUT
    expected = remote.expected_response_codes or EXPECTED
    answer, state, error = Answer(output), State.FAILED, ""
    with trio.CancelScope() as scope:
        if stop is not None:
            stop.attach(scope.cancel)
            if stop.requests:
                scope.cancel()
        scope.deadline = trio.current_time() + timeout
        try:
            await exchange(remote, headers or {}, private, connections, answer)
        except Refused as refusal:
            error = str(refusal)
        else:
            if answer.status in expected:
                state = State.SUCCEEDED
            else:
                error = f"answered {answer.status}, expected {' or '.join(map(str, expected))}"
        finally:
            if stop is not None:
                stop.detach()
    if scope.cancelled_caught:
        if stop is not None and stop.requests:
            state, error = State.CANCELLED, "cancelled"
        else:
            state, error = State.TIMED_OUT, f"timed out after {timeout:g} s"
            if answer.waits:
                error += ", waiting for a connection: so many calls are on as open files allow"
    answer.body.finish(first=True)
    kept = answer.body.last()[1] or error.encode(errors="replace")
    return Attempt(
        number,
        started,
        started + round((time.monotonic() - reading) * SECOND),
        state,
        status=answer.status,
        output_size=answer.body.size or len(kept),
        error=error,
    ), kept


async def exchange(
    remote: Remote, more: Mapping[str, str], private: frozenset[bytes], connections: Connections, answer: Answer
) -> None:
    """The requests of one call, into `answer`. Raises Refused."""
    try:
        method, body = (remote.method.upper() or METHOD).encode("ascii"), remote.body.encode()
        target, headers = parsed(remote.url), request_headers(remote, more)
    except UnicodeEncodeError as error:
        raise Refused(f"cannot be encoded: {shortened(error.object)!a}") from None
    for _ in range(MAX_REDIRECTS + 1):
        location = await send(method, target, headers, body, connections, answer)
        if location is None:
            return
        before, target = target, redirected(target, location)
        if answer.status in {301, 302, 303} and method not in {b"GET", b"HEAD"}:
            method, body = b"GET", b""
            headers = [item for item in headers if not item[0].lower().startswith(b"content-")]
        if target.origin != before.origin:
            headers = [item for item in headers if item[0].lower() not in SECRET_HEADERS | private]
            if body and BODY in private:
                raise Refused(f"redirected to {target.place}, which is not to get a body that is a secret")
    raise Refused(f"redirected more than {MAX_REDIRECTS} times")


async def send(
    method: bytes, target: Target, headers: Headers, body: bytes, connections: Connections, answer: Answer
) -> str | None:
    """One request, into `answer`. Returns where it is redirected to, if it is. Raises Refused."""
    answer.status, answer.body = None, answer.output
    if not connections.slots.take_nowait(target.origin):
        answer.waits = True
        await connections.slots.take(target.origin)
        answer.waits = False
    try:
        return await send_now(method, target, headers, body, connections, answer)
    finally:
        connections.slots.give_back(target.origin)


async def send_now(
    method: bytes, target: Target, headers: Headers, body: bytes, connections: Connections, answer: Answer
) -> str | None:
    """The same, in a slot."""
    if target.credentials is not None and all(name.lower() != b"authorization" for name, _ in headers):
        headers = [*headers, (b"Authorization", target.credentials)]
    location = None
    try:
        connection, head = await connections.request(method, target, headers, body)
        answer.status = head.status
        if answer.status in REDIRECTS:
            location = next((value.decode("latin-1") for name, value in head.headers if name == b"location"), None)
        answer.body = answer.output if location is None else answer.redirect()
        try:
            while chunk := await connection.chunk():
                if answer.body.add_first(chunk):
                    answer.body.grown()
        finally:
            connections.give_back(target, connection)
    except ConnectFailed as error:
        raise Refused(str(error)) from error
    except Lost as error:
        raise Refused(f"no proper answer from {target.place}: {shortened(str(error), 200)}") from error
    except h11.LocalProtocolError as error:
        raise Refused(f"not a request that can be sent: {error}") from error
    return location


def request_headers(remote: Remote, more: Mapping[str, str]) -> Headers:
    """Those that do not depend on the connection."""
    if not remote.headers:
        return [*DEFAULTS, *[(name.encode("ascii"), value.encode()) for name, value in more.items()]]
    lines = [
        (name.encode("ascii"), value.encode())
        for name, values in remote.headers.items()
        if name.lower() not in OWN_HEADERS
        for value in values
    ]
    given = {name.lower().encode("ascii") for name in remote.headers}
    others = [line for line in request_headers(Remote(), more) if line[0].lower() not in given]
    return lines + others


def check(remote: Remote) -> dict[str, str]:
    """What is wrong with a call's definition: `remote_properties.<field>` to the fault. Templates are not looked into:
    give what has none."""
    faults = {}
    if fault := url_fault(remote.url) if remote.url else "is needed":
        faults["url"] = fault
    if remote.method and (not TOKEN.fullmatch(remote.method) or remote.method.upper() == "CONNECT"):
        faults["method"] = "not an HTTP method"
    for name, values in (remote.headers or {}).items():
        if not TOKEN.fullmatch(name):
            faults["headers"] = f"not a header's name: {shortened(name)!a}"
        elif any(CONTROL.search(value) or not is_text(value) for value in values):
            faults["headers"] = f"the value of {name} holds characters that no header may have"
        elif any(value != value.strip(BLANKS) for value in values):
            faults["headers"] = f"the value of {name} begins or ends with a blank, which no header's may"
    if not is_text(remote.body):
        faults["body"] = "cannot be encoded in UTF-8"
    if not 0 <= remote.timeout <= MAX_TIMEOUT:
        faults["timeout"] = f"must be 0 to {MAX_TIMEOUT} seconds"
    if wrong := [code for code in remote.expected_response_codes or () if not 100 <= code <= 599]:
        faults["expected_response_codes"] = f"{wrong[0]} is not an HTTP status"
    return {f"remote_properties.{field}": fault for field, fault in faults.items()}


def is_text(value: str) -> bool:
    """Whether it can be sent: JSON can name halves of characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
