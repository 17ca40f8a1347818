"""The conformance suite: what `kala/drivers/contract.py` says, as functions that take a database, one file a topic.

Every function whose name begins with `check_` is a check: it is given an empty database, and raises when a driver
breaks the contract. `tests/drivers/conftest.py` names the engines; `test_conformance.py` runs every check on each,
and `test_suite.py` proves that the checks catch drivers that are broken on purpose. The checks of `faults.py` are given
a database whose server fails on request; `test_faults.py` and `test_suite_faults.py` do the same with them.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import changes, commits, faults, history, large, opening, pruning, races, repetition, values
from .database import Database
from .faulty import FaultyDatabase

Check = Callable[[Database], None]
FaultCheck = Callable[[FaultyDatabase], None]


def checks_of(topic: ModuleType) -> list[Any]:
    """A topic's checks, in the order in which they stand in its file."""
    return [value for name, value in vars(topic).items() if name.startswith("check_")]


TOPICS = (opening, commits, repetition, races, values, large, history, pruning, changes)
CHECKS: list[Check] = [check for topic in TOPICS for check in checks_of(topic)]
FAULT_CHECKS: list[FaultCheck] = checks_of(faults)
