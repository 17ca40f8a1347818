"""Every driver keeps the contract: each check of the suite on each engine of `conftest.py`."""

import pytest

from .conformance import CHECKS, Check
from .conformance.database import Database


@pytest.mark.parametrize(
    "check", [pytest.param(check, id=check.__name__, marks=getattr(check, "pytestmark", ())) for check in CHECKS]
)
def test_the_driver(check: Check, database: Database) -> None:
    check(database)
