"""Long work on Trio's thread, in slices between which others have their turn."""

from collections.abc import Iterator

import trio

SLICE = 0.002
"""Seconds after which others have their turn; a step comes on top."""


async def in_slices(steps: Iterator[None]) -> None:
    """Take all the steps, each of less than a millisecond. Others had their turn before the first, not after the last:
    what it left is as it left it."""
    await trio.lowlevel.checkpoint()
    until = trio.current_time() + SLICE
    for _ in steps:
        if trio.current_time() >= until:
            await trio.lowlevel.checkpoint()
            until = trio.current_time() + SLICE
