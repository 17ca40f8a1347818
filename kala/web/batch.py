"""Many jobs in one request: read as it comes, made in groups, answered when it has ended.

So no more than two groups and their elements are in memory, beside the jobs and a line of the answer for each; and a
client that sends all before it reads is not waited for.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
import trio
from msgspec import UNSET, Struct, UnsetType
from quart import Response, request

from kala import secrets
from kala.creation import Creation
from kala.errors import Invalid, KalaError, NotJson
from kala.job import Record
from kala.web.answers import NDJSON, did, in_pieces
from kala.web.elements import BLANKS, LARGEST, Broken, Cutter, Element, Items, Lines
from kala.web.jobs import NEW_JOB
from kala.web.problems import JSON, Refused, error_object
from kala.web.routes import ROOT, Answer, Body, Route
from kala.web.whole import Gone, Incoming
from kala.wire.jobread import NewJob, read_job

if TYPE_CHECKING:
    from kala.service import Service

GROUP = 500
"""Jobs that are made in one go: they share a commit, and meanwhile the next ones are read. To decide on so many takes
two milliseconds of the loop's time, and so does entering them. (Up to 512 rows fill a statement of SQLite's.)"""
GROUP_BYTES = 4 << 20
"""Of large jobs fewer: so many bytes, as they came."""
PORTION = 0.002
"""Seconds for which elements are read without a pause."""
SOON = 0.2
"""Seconds after which what has come is made although a group has room."""
IDLE = 20.0
"""Seconds after which a sender that says nothing is taken to have ended."""
NO_JSON = "this is not JSON that can be read"
ANSWERS = 64 << 20
"""Bytes of an answer that are held while the request is read: a million lines."""


Group = list[tuple[int, NewJob | KalaError]]
"""What was read, and its number."""

_encoder = msgspec.json.Encoder()


class Line(Struct, gc=False):
    """What came of one job. `line` is its line, or its place in the array, from 1."""

    line: int
    id: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET
    error: str | UnsetType = UNSET
    fields: dict[str, str] | UnsetType = UNSET


class Batches:
    """The view."""

    def __init__(self, service: "Service") -> None:
        self.service = service

    def routes(self) -> list[Route]:
        lines = {"type": "string", "description": "One `NewJob` a line."}
        return [
            Route(
                "POST",
                f"{ROOT}/job/batch/",
                self.make,
                "Make many jobs: an array of them, or one a line. Each is taken, or refused, by itself.",
                {200: Answer("A `Line` for each, in order: its id, or what is wrong with it.", Line, (NDJSON,))},
                body=Body({JSON: {"type": "array", "items": NEW_JOB}, NDJSON: lines}),
                faults=(415,),
            )
        ]

    async def make(self) -> Response:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused(415, "a packed body is not taken here: send it as it is")
        batch = Batch(self.service, request.scope["state"]["incoming"])
        await batch.take(of_lines=request.mimetype == NDJSON)
        did(jobs=batch.made)
        return in_pieces(batch.told(), NDJSON)


class Batch:
    """One request, while it is read."""

    def __init__(self, service: "Service", incoming: Incoming) -> None:
        self._service, self._incoming = service, incoming
        self._cutter: Cutter | None = None  # until it is seen what comes
        self._blanks = b""  # before it
        self._group: Group = []  # that is read
        self._room = GROUP_BYTES  # in it
        self._making: tuple[Group, Creation] | None = None  # the one before
        self._answers: deque[bytes] = deque()
        self._size = 0
        self.made = 0  # jobs

    async def take(self, *, of_lines: bool) -> None:
        """Make the jobs of the body. What was whole before it broke off, or an array was no JSON any more, is made all
        the same; of lines those that are no JSON are refused by themselves.

        Raises what keeps the first group from being made.
        """
        if of_lines:
            self._cutter = Lines()
        last = await self._ended(self._take_all)
        last = await self._ended(self._make_rest) or last
        if last is not None:
            self._tell([Line(last.number, error=last.fault)])

    async def _take_all(self) -> None:
        while piece := await self._piece():
            await self._read(self._cut(piece))
        if self._cutter is not None:
            await self._read(self._cutter.end())

    async def _ended(self, step: Callable[[], Awaitable[None]]) -> Broken | None:
        """What put an end to it, when that is to be told."""
        try:
            await step()
        except Broken as broken:
            return broken
        except Gone:
            pass
        return None

    async def _piece(self) -> bytes:
        """What comes next; nothing at the end. While it is waited for, what has come is made."""
        if self._group:
            with trio.move_on_after(SOON):
                return await self._incoming.more()
            await self._make()
        with trio.move_on_after(IDLE):
            return await self._incoming.more()
        raise Broken(self._number, f"nothing came for {IDLE:g} seconds")

    @property
    def _number(self) -> int:
        return 1 if self._cutter is None else self._cutter.number

    def _cut(self, piece: bytes) -> Iterator[Element]:
        if self._cutter is None:
            if not (begin := piece.lstrip(BLANKS)) and len(self._blanks) < LARGEST:
                self._blanks += piece
                return iter(())
            self._cutter = Items() if begin.startswith(b"[") else Lines()
            piece, self._blanks = self._blanks + piece, b""
        return self._cutter.feed(piece)

    async def _read(self, elements: Iterator[Element]) -> None:
        service, owner = self._service, self._service.default_owner
        now, until = service.clock.now(), perf_counter() + PORTION
        for number, data in elements:
            new: NewJob | KalaError
            try:
                new = read_job(data, now=now, default_owner=owner)
                if secrets.may_refer(new.job):
                    new.warnings.extend(await service.secrets.warnings(new.job))
            except NotJson:
                if not isinstance(self._cutter, Lines):
                    raise Broken(number, NO_JSON) from None
                new = Invalid({"": NO_JSON})  # the next line begins anew
            except Invalid as fault:
                new = fault
            self._group.append((number, new))
            self._room -= len(data)
            if len(self._group) == GROUP or self._room <= 0:
                await self._make()
            if perf_counter() > until:
                await trio.lowlevel.checkpoint()
                now, until = service.clock.now(), perf_counter() + PORTION

    async def _make(self) -> None:
        """Hand over what has come, when what was handed over before has been made."""
        await self._finish()
        if self._group:
            with self._refused_as_whole(self._group):
                new = [new for _, new in self._group if isinstance(new, NewJob)]
                self._making = self._group, self._service.create_many(new)
            self._group, self._room = [], GROUP_BYTES

    async def _make_rest(self) -> None:
        await self._make()
        await self._finish()

    async def _finish(self) -> None:
        """Note what came of what was handed over."""
        if self._making is None:
            return
        (group, making), self._making = self._making, None
        with self._refused_as_whole(group):
            came = await making
        self.made += sum(isinstance(one, Record) for one in came)
        made = iter(came)
        self._tell([_line(number, new, next(made) if isinstance(new, NewJob) else new) for number, new in group])
        if self._size > ANSWERS:
            rest = self._group[0][0] if self._group else group[-1][0] + 1
            self._group = []
            raise Broken(rest, "the answers are too large: send the rest, from here on, in another request")

    @contextmanager
    def _refused_as_whole(self, group: Group) -> Iterator[None]:
        """When a group cannot be made now, the last line says so: nothing from there on is made."""
        try:
            yield
        except KalaError as fault:
            self._group = []
            if not self._answers:
                raise
            raise Broken(group[0][0], str(fault)) from None

    def _tell(self, lines: list[Line]) -> None:
        if piece := _encoder.encode_lines(lines):
            self._answers.append(piece)
            self._size += len(piece)

    async def told(self) -> AsyncIterator[bytes]:
        """The answers."""
        while self._answers:
            await trio.lowlevel.checkpoint()
            yield self._answers.popleft()


def _line(number: int, new: NewJob | KalaError, came: Record | KalaError) -> Line:
    if isinstance(came, Record):
        return Line(number, id=came.id, warnings=(new.warnings if isinstance(new, NewJob) else None) or UNSET)
    said = error_object(came)
    return Line(number, error=said.error, fields=said.fields)
