"""gzip, for clients that ask for it."""

import re
import zlib
from collections.abc import AsyncIterator

WORTH = 1024
"""Bytes: below this, gzip saves less than a packet."""

GZIP = 31  # zlib's number for the gzip format with the largest window
FAST = 1  # a list of jobs is a tenth of its size at every level; this one takes 10 ms a megabyte
_ACCEPTED = re.compile(r"(?:^|,)\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?(?=,|$)", re.IGNORECASE)


def wants_gzip(accept_encoding: str | None) -> bool:
    """RFC 9110, 12.5.3: the coding is named with a weight above nothing."""
    if not accept_encoding:
        return False
    weights: dict[str, str] = {name.lower(): weight for name, weight in _ACCEPTED.findall(accept_encoding)}
    weight = weights.get("gzip", weights.get("x-gzip", weights.get("*", "0")))
    return weight.strip("0.") != "" or weight == ""


def gzipped(data: bytes, level: int = FAST) -> bytes:
    packer = zlib.compressobj(level, wbits=GZIP)
    return packer.compress(data) + packer.flush()


async def gzipped_chunks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same stream, packed piece by piece."""
    packer = zlib.compressobj(FAST, wbits=GZIP)
    async for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()
