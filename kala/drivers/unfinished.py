"""The mark of a database that `kala move` has begun to fill: until all is there, nothing works on it."""

from kala.drivers.contract import Driver
from kala.errors import StoreRefused

MARK = ("setting", "move")
"""Kind and key of the record that is there until the move is done."""


def refuse_unfinished(driver: Driver) -> None:
    """Raise `StoreRefused` when a move into this database is not done."""
    if driver.get(*MARK) is not None:
        raise StoreRefused(
            f"{driver.place}: a `kala move` into this database is not finished: run it again, with the same FROM and TO"
        )
