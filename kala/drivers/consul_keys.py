"""How Consul's keys are named and what is under them, for `consul.py`.

```
meta                                     schema version, id of the database
records/<kind>/<shard>/<key>             a record: its revision, and its bytes
runs/<run>                               a row of the history: its place, and the run as JSON
history/<bucket>/<stamp>                 a page: which rows a transaction appended
jobs-history/<job>/<place>.<ran>.<run>   nothing: the name says which rows a job has
outputs/<run>/<attempt>                  where an output stands, how long it is; and its data, when that is little
data/<run>/<attempt>                     its data otherwise
printed/<bucket>/<stamp>                 a page: which outputs a transaction appended
times/<bucket>/<lane>                    the earliest end in a bucket's pages, as far as one lane wrote them
lanes/<lane>                             how far one writer of transactions has come (`consul_lane.py`)
changed/<lane>/<number>                  which records its transaction of that number wrote
forgotten                                the index up to which `changed` has been removed
staged/<stamp>                           stamps of pages that are not there yet as long as this is (`consul_staged.py`)
```

A stamp is 16 digits of microseconds and 8 of a lane's id: in their order, things were appended. A place is a stamp and
two digits more, of a row in its page. Text of others is percent-encoded, and ends in "!", so that no key begins
another.
"""

import re
import threading
import zlib
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

import msgspec
from msgspec import Struct

from kala.clock import SECOND, Moment
from kala.drivers.consul_http import Entry
from kala.drivers.contract import Element, Stored
from kala.drivers.rows import RunRow
from kala.job import Output

PLACE = re.compile("[0-9]{16}[0-9a-f]{8}[0-9]{2}")
BUCKET = 7
"""Digits of a stamp that name its bucket: 1,000 seconds."""
SMALL = 2_048
"""Bytes of an output that are kept in the key that finds it; that key is read to prune it."""

encode = msgspec.json.Encoder().encode


class Row(Struct, frozen=True, array_like=True, gc=False):
    """One of a page of the history: what queries and pruning ask for."""

    number: int
    id: str
    job_id: str
    ran: int
    state: str
    scheduled_for: Moment
    at: Moment


class Printed(Struct, frozen=True, array_like=True, gc=False):
    """One of a page of outputs."""

    run_id: str
    attempt: int
    length: int


class Page(Struct, frozen=True, omit_defaults=True, gc=False):
    """What one transaction appended. With a `stage` it is there when nothing is staged under that stamp (any more)."""

    rows: list[Row] = []
    printed: list[Printed] = []
    stage: str = ""


class Header(Struct, frozen=True, omit_defaults=True, gc=False):
    """Of an output. `stamp` is its page's."""

    stamp: str
    length: int
    size: int
    stage: str = ""
    data: bytes | None = None


class Head(Struct, frozen=True, gc=False):
    """How far a lane has come: its last number and stamp, and the bytes of outputs that it appended less those that it
    removed."""

    number: int
    stamp: str
    bytes: int


class Meta(Struct, frozen=True, gc=False):
    """Of the database."""

    schema: int
    database: str


class Keys:
    """All names under a prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.meta, self.forgotten = f"{prefix}meta", f"{prefix}forgotten"
        self.lanes, self.changed = f"{prefix}lanes/", f"{prefix}changed/"
        self.runs = f"{prefix}runs/"
        self.times, self.staged = f"{prefix}times/", f"{prefix}staged/"

    def kind(self, kind: str) -> str:
        return f"{self.prefix}records/{encoded(kind)}/"

    def record(self, kind: str, key: str) -> str:
        name = encoded(key)
        return f"{self.kind(kind)}{zlib.crc32(name.encode()) & 0xFF:02x}/{name}"

    def run(self, run_id: str) -> str:
        return f"{self.runs}{encoded(run_id)}"

    def job(self, job_id: str) -> str:
        return f"{self.prefix}jobs-history/{encoded(job_id)}/"

    def job_row(self, stamp: str, row: Row) -> str:
        return f"{self.job(row.job_id)}{stamp}{row.number:02}.{row.ran}.{encoded(row.id)}"

    def page(self, stamp: str) -> str:
        return f"{self.prefix}history/{stamp[:BUCKET]}/{stamp}"

    def bucket(self, bucket: str) -> str:
        return f"{self.prefix}history/{bucket}/"

    def printed(self, stamp: str) -> str:
        return f"{self.prefix}printed/{stamp[:BUCKET]}/{stamp}"

    def printed_bucket(self, bucket: str) -> str:
        return f"{self.prefix}printed/{bucket}/"

    def outputs(self, run_id: str) -> str:
        return f"{self.prefix}outputs/{encoded(run_id)}/"

    def output(self, run_id: str, attempt: int) -> str:
        return f"{self.outputs(run_id)}{attempt:010}"

    def data(self, run_id: str, attempt: int) -> str:
        return f"{self.prefix}data/{encoded(run_id)}/{attempt:010}"

    def lane(self, lane: str) -> str:
        return f"{self.lanes}{lane}"

    def slot(self, lane: str, number: int) -> str:
        return f"{self.changed}{lane}/{number:012x}"

    def time(self, bucket: str, lane: str) -> str:
        return f"{self.times}{bucket}/{lane}"

    def stage(self, stamp: str) -> str:
        return f"{self.staged}{stamp}"


class Stamps:
    """Gives stamps, each later than all that were given or seen before: who has read what another wrote appends after
    it, whatever their clocks say."""

    def __init__(self, now: Callable[[], Moment]) -> None:
        self._now = now
        self._last: Moment = 0
        self._lock = threading.Lock()

    def next(self, lane: str) -> str:
        with self._lock:
            self._last = max(self._now(), self._last + 1)
            return f"{self._last:016}{lane}"

    def seen(self, stamp: str) -> None:
        if stamp[:16].isdecimal():
            with self._lock:
                self._last = max(self._last, int(stamp[:16]))


def encoded(text: str) -> str:
    """Any text as a part of a key: letters, digits, and what no server on the way takes for something else."""
    return quote(text, safe="", errors="surrogatepass").replace(".", "%2E") + "!"


def decoded_text(part: str) -> str:
    """The text that `encoded` made this from. Raises ValueError."""
    if not part.endswith("!"):
        raise ValueError(f"{part!r} is not a name of ours")
    return unquote_to_bytes(part[:-1]).decode(errors="surrogatepass")


def record_value(element: Element, stamp: str) -> bytes:
    return b"%d %b\n%b" % (element.revision, stamp.encode(), element.value or b"")


def read_record(kind: str, key: str, entry: Entry, stamps: Stamps) -> Stored:
    """Raises ValueError for what we would not have written."""
    head, newline, value = entry.data.partition(b"\n")
    revision, _, stamp = head.decode().partition(" ")
    if not newline or not (revision.isascii() and revision.isdecimal()):
        raise ValueError("it does not begin with a revision")
    stamps.seen(stamp)
    return Stored(kind, key, int(revision), value)


def run_value(stamp: str, row: Row, run: RunRow, stage: str) -> bytes:
    return f"{stamp}{row.number:02} {stage or '-'}\n{run.run}".encode()


def read_run(entry: Entry) -> tuple[str, str, bytes]:
    """A run's place, what it is staged under (empty: nothing), and its JSON. One that was spoilt has no place."""
    head, _, run = entry.data.partition(b"\n")
    place, _, stage = head.decode(errors="replace").partition(" ")
    return place, "" if stage == "-" else stage, run


def header_of(output: Output, stamp: str, stage: str) -> Header:
    length = len(output.data)
    return Header(stamp, length, output.size, stage, output.data if 0 < length <= SMALL else None)


def bucket_start(bucket: str) -> Moment:
    return int(bucket.ljust(16, "0"))


def usual_start(bucket: str) -> Moment:
    """What is appended in a bucket has ended after this, unless it says otherwise: an hour before it begins."""
    return bucket_start(bucket) - 3_600 * SECOND
