"""New ids of jobs, runs and instances: UUIDs of version 7 (RFC 9562), which begin with the time.

Rows that are written together then lie together in the databases' indexes; with random ids each would touch a page of
its own, which was measured at a third of the speed.
"""

import os
import time

_VARIANT = {f"{digit:x}": f"{digit & 3 | 8:x}" for digit in range(16)}
"""The two bits of the variant in a random digit."""


def new_id() -> str:
    """48 bits of milliseconds, version 7, 74 random bits."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[str]:
    """So many at once, which takes a fifth of the time: they share the milliseconds."""
    time_digits, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10 * count).hex()
    begin = f"{time_digits[:8]}-{time_digits[8:]}-7"
    return [
        f"{begin}{chance[at : at + 3]}-{_VARIANT[chance[at + 3]]}{chance[at + 4 : at + 7]}-{chance[at + 7 : at + 19]}"
        for at in range(0, 20 * count, 20)
    ]
