"""Talking to one Consul agent, for `consul.py`: kept connections, transactions, listings, its clock, its faults.

The client library (`consul`, from python-consul or py-consul) is asked for its HTTP client alone, which reads none of
the CONSUL_HTTP_… variables. Reads are consistent: an old leader that does not know yet that it is none cannot answer.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import requests
from consul.std import HTTPClient  # type: ignore[import-untyped,unused-ignore]
from msgspec import Struct, field
from requests.adapters import HTTPAdapter
from urllib3 import Timeout

from kala.drivers.consul_faults import faults
from kala.drivers.consul_time import AgentClock, Deadline
from kala.drivers.server import Address, Tls, tls_context
from kala.errors import StoreRefused, StoreUnavailable, shortened

OPERATIONS = 64
"""In one transaction: what every version of Consul takes."""
BODY = 512 * 1024
"""Bytes of one transaction as it is sent: Consul's `limits.txn_max_req_len`, when it is not set."""
CONNECT = 3.0  # seconds
KEPT = 8  # connections

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


class Op(Struct, frozen=True, rename="pascal", omit_defaults=True, gc=False):
    """One operation of a transaction."""

    verb: str
    key: str
    value: bytes | None = None
    index: int = 0


class Entry(Struct, frozen=True, rename="pascal", gc=False):
    """A key as Consul answers it. `modify_index` is the number of the transaction that wrote it last."""

    key: str
    value: bytes | None = None
    modify_index: int = 0

    @property
    def data(self) -> bytes:
        return self.value or b""  # Consul knows no empty value


class Fault(Struct, frozen=True, rename="pascal", gc=False):
    """What is wrong with one operation of a transaction that was refused."""

    what: str
    op_index: int = 0


class _Result(Struct, frozen=True, gc=False):
    entry: Entry = field(name="KV")


class _Answer(Struct, frozen=True, gc=False):
    results: list[_Result] | None = field(name="Results", default=None)
    errors: list[Fault] | None = field(name="Errors", default=None)
    filtered: bool = field(name="ResultsFilteredByACLs", default=False)


class _About(Struct, frozen=True, rename="pascal", gc=False):
    config: dict[str, Any]
    debug_config: dict[str, Any]


class _Adapter(HTTPAdapter):
    """Connections with our own TLS context, which also holds the server to another name than its host's."""

    def __init__(self, tls: Tls) -> None:
        self._context = tls_context(tls)
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self._context, **named)


class _Client:
    """A connection: one request at a time."""

    def __init__(self, address: Address, scheme: str, token: str, tls: Tls) -> None:
        ((host, port),) = address.hosts
        self.http = HTTPClient(f"[{host}]" if ":" in host else host, port, scheme, tls.ca or True, None)
        self.deadline = Deadline()
        session: requests.Session = self.http.session
        session.trust_env = False  # no proxy, no certificates and no password of the environment's
        if scheme == "https":
            session.mount("https://", _Adapter(tls))
        if token:
            session.headers["X-Consul-Token"] = token
        self._ask = session.request
        session.request = self._request  # type: ignore[method-assign]

    def _request(self, *arguments: Any, **named: Any) -> requests.Response:
        """The library knows no timeout, or one of its own."""
        left = self.deadline.left()
        named["timeout"] = Timeout(connect=min(CONNECT, left), total=left)
        named["allow_redirects"] = False  # an agent sends nobody elsewhere, and the token is for it alone
        return self._ask(*arguments, **named)

    def close(self) -> None:
        self.http.session.close()


class Agent:
    """The agent at `address`, asked with `token`. Every method may raise `StoreUnavailable` and `StoreRefused`."""

    def __init__(self, address: Address, token: str, tls: Tls) -> None:
        self.place = address.place
        self.clock = AgentClock()
        self.largest = BODY
        self.was_taken = False  # its token has been seen to have every right
        secure = address.secure if address.secure is not None else bool(tls)
        self._make = partial(_Client, address, "https" if secure else "http", token, tls)
        self._options = [("dc", address.options["dc"])] if "dc" in address.options else []
        self._idle: list[_Client] = []
        self._make().close()  # files that cannot be used are told at once

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def about(self, deadline: Deadline) -> tuple[str, bool]:
        """The agent's version, and whether it keeps nothing. ("", False) when the token may not ask."""
        answer = self._ask(deadline, lambda http, back: http.get(back, "/v1/agent/self"))
        if answer.code == 403:
            return "", False
        about = self._read(answer, _About)
        self.largest = min(BODY, int(about.debug_config.get("TxnMaxReqLen") or BODY))
        return str(about.config.get("Version", "")), bool(about.debug_config.get("DevMode"))

    def look_at_clock(self) -> None:
        """Learn what time it is there."""
        self._read(self._ask(Deadline(), lambda http, back: http.get(back, "/v1/status/leader")), str)

    def names(self, prefix: str, deadline: Deadline, separator: str = "") -> list[str]:
        """The keys that begin so, in order; with a separator only up to the first one behind the prefix."""
        return self._list(prefix, [("keys", "1"), ("separator", separator)], list[str], deadline)

    def entries(self, prefix: str, deadline: Deadline) -> list[Entry]:
        """All that is under keys that begin so, as it was at one moment, in order."""
        return self._list(prefix, [("recurse", "1")], list[Entry], deadline)

    def _list(self, prefix: str, params: list[tuple[str, str]], shape: type[list[T]], deadline: Deadline) -> list[T]:
        params = [*params, ("consistent", "1"), *self._options]
        answer = self._ask(deadline, lambda http, back: http.get(back, f"/v1/kv/{prefix}", params=params))
        if answer.headers.get("X-Consul-Results-Filtered-By-ACLs") == "true":
            raise self._forbidden("it hides keys from it")
        if answer.code == 404 and "X-Consul-Index" in answer.headers:
            return []
        return self._read(answer, shape)

    def trees(self, prefixes: Iterable[str], deadline: Deadline) -> list[Entry]:
        """All that is under keys that begin with one of these. It is asked for many at once."""
        wanted, found = list(prefixes), []
        for start in range(0, len(wanted), OPERATIONS):
            ops = [Op("get-tree", prefix) for prefix in wanted[start : start + OPERATIONS]]
            entries, faults = self.transact(ops, deadline)
            if faults:
                raise StoreRefused(f"{self.place}: {next(iter(faults.values()))}")
            found += entries
        return found

    def found(self, keys: Iterable[str], deadline: Deadline) -> dict[str, Entry]:
        """What is under these very keys."""
        wanted = list(dict.fromkeys(keys))
        return {entry.key: entry for entry in self.trees(wanted, deadline)}

    def transact(self, ops: Sequence[Op], deadline: Deadline) -> tuple[list[Entry], dict[int, str]]:
        """Do all of these or none. Returns what they answer, or else what is wrong with which of them."""
        body = b"[" + b",".join(b'{"KV":%b}' % _encode(op) for op in ops) + b"]"
        params = [("consistent", "1"), *self._options]
        answer = self._ask(deadline, lambda http, back: http.put(back, "/v1/txn", params=params, data=body))
        read = self._read(answer, _Answer, conflict=True)
        if read.filtered:
            raise self._forbidden("it hides keys from it")
        faults = {fault.op_index: fault.what for fault in read.errors or ()}
        for what in faults.values():
            if "Permission denied" in what or "ACL not found" in what:
                raise self._forbidden(what)
        return [result.entry for result in read.results or ()], faults

    def _ask(self, deadline: Deadline, request: Callable[[Any, Callable[[Any], Any]], Any]) -> Any:
        try:
            client = self._idle.pop()
        except IndexError:
            client = self._make()
        client.deadline = deadline
        try:
            asked = time.monotonic()
            with faults(self.place):
                answer = request(client.http, lambda response: response)
            self.clock.learn(answer.headers.get("Date", ""), asked)
        except BaseException:
            client.close()
            raise
        if len(self._idle) < KEPT:
            self._idle.append(client)
        else:
            client.close()
        return answer

    def _read(self, answer: Any, shape: type[T], *, conflict: bool = False) -> T:
        said = shortened(answer.body.strip(), 300)
        if answer.code in (401, 403):
            raise self._forbidden(said)
        if answer.code == 400 and "HTTPS server" in said:
            raise StoreRefused(f"{self.place}: it speaks TLS: write https:// before the address, or give a CA's file")
        if answer.code == 413:
            raise StoreRefused(f"{self.place}: {said} Consul must take {BODY} bytes: leave its limits as they are")
        if answer.code in (429, 500, 502, 503, 504):
            raise StoreUnavailable(f"{self.place}: Consul cannot do it now: {said}")
        try:
            if answer.code == 200 or (conflict and answer.code == 409):
                return msgspec.json.decode(answer.body, type=shape)
        except msgspec.DecodeError:
            pass  # told below, with every other answer that Consul would not give
        raise StoreRefused(f"{self.place}: what answers there is not a Consul agent: {answer.code} {said}")

    def _forbidden(self, said: str) -> StoreRefused | StoreUnavailable:
        if self.was_taken and "key:write" in said:
            return StoreUnavailable(f"{self.place}: Consul takes no writes with this token now: {said}")
        return StoreRefused(
            f"{self.place}: Consul refuses the token: {said}. --jobdb-password (KALA_JOBDB_PASSWORD) must be the secret"
            " id of a token whose policy says key_prefix"
            f' "{self.place.partition("/")[2]}/" {{ policy = "write" }}, and list when the agent asks for that'
        )
