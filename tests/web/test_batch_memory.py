"""Very many jobs in one request: what it takes beside the jobs themselves."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from daemon_process import KalaProcess

from .test_batch import PATH, job


def memory(kala: KalaProcess) -> dict[str, int]:
    """What the kernel says of the daemon's memory, in MB."""
    status = Path(f"/proc/{kala.pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in status)
    return {name: int(fields[name].split()[0]) >> 10 for name in ("VmRSS", "VmHWM")}


@pytest.mark.slow
def test_twenty_thousand_jobs_take_no_memory_beside_their_own(start_kala: Callable[..., KalaProcess]) -> None:
    # given a daemon that is sent 20,000 jobs in one request
    many(start_kala, 20_000, more=25)


def many(start_kala: Callable[..., KalaProcess], count: int, *, more: int) -> dict[str, float]:
    """Its peak is at most `more` MB above that of a daemon that has loaded the same jobs."""
    kala = start_kala()

    def pieces() -> Iterator[bytes]:
        yield b"["
        for first in range(0, count, 100):
            some = b",".join(json.dumps(job(number)).encode() for number in range(first, first + 100))
            yield (b"," if first else b"") + some
        yield b"]"

    began = time.monotonic()
    connection = http.client.HTTPConnection(urlsplit(kala.url).netloc, timeout=300)
    connection.request("POST", PATH, pieces(), encode_chunked=True)
    response = connection.getresponse()
    body = response.read()
    took = time.monotonic() - began
    connection.close()
    assert response.status == 200
    assert body.count(b'"id":') == count
    peak = memory(kala)["VmHWM"]
    # and then started again on them
    kala.restart()
    loaded = memory(kala)["VmHWM"]
    assert kala.get("/api/v1/stats/").json["Stats"]["jobs"] == count
    assert peak < loaded + more, (peak, loaded)
    return {"seconds": took, "peak": peak, "loaded": loaded}
