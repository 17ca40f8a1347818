"""Requests to a daemon and its answers, over one kept connection. Synchronous; safe for several threads."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import httpx2
import msgspec

from kala.client.access import Access, client
from kala.client.faults import Ambiguous, Answered, NoSuchJob, Unreachable, refusal

PAGE = 1_000
"""Jobs or runs in a page when all are read: what a daemon gives at most."""

CONNECT, ANSWER = 10.0, 60.0  # seconds

Object = dict[str, Any]
Params = Mapping[str, str | int | Sequence[str] | None]


class Found(NamedTuple):
    """One page: objects in the server's order, and where the next begins (None: that was all)."""

    items: list[Object]
    next: str | None


class Server:
    """A daemon at `url`, which may be that of its API, or `unix:/path`. A context manager, or `close` it.

    All methods raise `Unreachable`, and `Answered` for what the daemon refuses. Proxies come from the environment, and
    this host is never proxied. `seconds` bounds the wait for each answer, and for each piece of a stream.
    """

    def __init__(self, url: str, access: Access | None = None, *, seconds: float = ANSWER) -> None:
        self.url = base_of(url)
        timeout = httpx2.Timeout(seconds, connect=min(CONNECT, seconds))
        self._client, self._address = client(self.url, access or Access(), timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    # Anything.

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One request below `/api/v1`; the JSON of its answer, None when it has no body. `body` is sent as JSON."""
        with self._mapped():
            answer = self._client.request(
                method,
                f"{self._address}/api/v1{path}",
                params=given(params),
                content=None if body is None else msgspec.json.encode(body),
                headers={"Content-Type": "application/json", **(headers or {})} if body is not None else headers,
            )
        refuse(answer)
        if not answer.content:
            return None
        try:
            return msgspec.json.decode(answer.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unreachable(self.url, f"it answers {method} {path} with something that is not JSON") from None

    @contextmanager
    def stream(self, path: str, params: Params, *, seconds: float | None = None) -> Iterator[httpx2.Response]:
        """The answer to a GET, to be read as it comes. `seconds` None: a piece may take as long as it likes."""
        with self._mapped():
            timeout = httpx2.Timeout(seconds, connect=CONNECT)
            address = f"{self._address}/api/v1{path}"
            with self._client.stream("GET", address, params=given(params), timeout=timeout) as answer:
                if answer.status_code >= 400:
                    answer.read()
                refuse(answer)
                yield answer

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except httpx2.HTTPError as error:
            raise Unreachable(self.url, str(error) or type(error).__name__) from None

    # Jobs.

    def jobs_page(self, limit: int, after: str | None = None, **filters: Any) -> Found:
        """A page of jobs. `filters`: q, label (a list), owner, disabled, done, sort."""
        answer = self.ask("GET", "/job/", params={**filters, "limit": limit, "after": after})
        return Found(list(answer["jobs"].values()), answer.get("next"))

    def jobs(self, **filters: Any) -> Iterator[Object]:
        """All jobs that fit, page by page."""
        return pages(partial(self.jobs_page, PAGE, **filters))

    def job(self, wanted: str) -> Object:
        """The job with this id, or else with this name. Raises `NoSuchJob`, `Ambiguous`."""
        try:
            return dict(self.ask("GET", f"/job/{quote(wanted, safe='')}/")["job"])
        except Answered as refusal:
            if refusal.status not in (404, 405):  # the latter: the name of a route
                raise
        except (KeyError, TypeError):
            pass  # a name that is another path
        named = [job for job in self.jobs(q=wanted) if job["name"] == wanted] if wanted else []
        if not named:
            raise NoSuchJob(wanted)
        if len(named) > 1:
            raise Ambiguous(wanted, (job["id"] for job in named))
        return named[0]

    def edit(self, job_id: str, patch: Object, version: int) -> Any:
        """Change a job that still has this version; 412 when it has not. The answer has `job`, maybe `warnings`."""
        return self.ask("PATCH", f"/job/{quote(job_id, safe='')}/", patch, headers={"If-Match": f'"{version}"'})

    def delete(self, job_id: str) -> None:
        """Delete a job, and the children that have no other parent."""
        if job_id == "all":  # this path deletes them all
            raise Answered(409, "a job whose id is 'all' cannot be deleted by itself")
        self.ask("DELETE", f"/job/{quote(job_id, safe='')}/")

    # Runs.

    def runs_page(self, limit: int, after: str | None = None, **filters: Any) -> Found:
        """A page of runs, newest first. `filters`: job, state, since, until."""
        answer = self.ask("GET", "/run/", params={**filters, "limit": limit, "after": after})
        return Found(answer["runs"], answer.get("next"))

    def runs(self, **filters: Any) -> Iterator[Object]:
        """All runs that fit, page by page."""
        return pages(partial(self.runs_page, PAGE, **filters))

    def run(self, run_id: str) -> Object:
        return dict(self.ask("GET", f"/run/{quote(run_id, safe='')}/")["run"])


def pages(page_after: Callable[[str | None], Found]) -> Iterator[Object]:
    """What is on all pages, of which each is asked for with what the one before says."""
    page = page_after(None)
    yield from page.items
    while page.next is not None:
        page = page_after(page.next)
        yield from page.items


def base_of(url: str) -> str:
    """A server's address, from its own, or that of its API or of its jobs."""
    return re.sub("(/api/v1(/job)?)?/*$", "", url)


def given(params: Params | None) -> list[tuple[str, str | int | float | bool | None]]:
    """Parameters as pairs; None is left out, a list is several of one name, true and false are words."""
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in (params or {}).items():
        values = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, str(one).lower() if isinstance(one, bool) else str(one)) for one in values if one is not None]
    return pairs


def refuse(answer: httpx2.Response) -> None:
    """Raise `Answered` for an answer of 400 and above, or one that leads elsewhere."""
    if answer.status_code >= 300:
        raise refusal(answer.status_code, answer.content)
