"""Databases on which nothing works: one that `kala move` has begun to fill, until all is there; and backups."""

from kala.drivers.contract import Driver
from kala.errors import StoreRefused

MARK = ("setting", "move")
"""Kind and key of the record that is there until the move is done."""
BACKUP = ("setting", "backup")
"""Of the record in which a backup says what it holds."""


def refuse_unfinished(driver: Driver) -> None:
    """Raise `StoreRefused` when a move into this database is not done, or it is a backup."""
    if driver.get(*MARK) is not None:
        raise StoreRefused(
            f"{driver.place}: a `kala move` into this database is not finished: run it again, with the same FROM and"
            " TO; or `kala restore`, with the same FILE"
        )
    if driver.get(*BACKUP) is not None:
        raise StoreRefused(
            f"{driver.place} is a backup, and stays as it is: `kala restore` makes a database of what is in it"
        )
