"""Every driver of a server stands faults: each check of `faults.py` on each kind of server, and on a pretended one."""

import pytest

from .conformance import FAULT_CHECKS, FaultCheck
from .conformance.faulty import FaultyDatabase


@pytest.mark.parametrize(
    "check", [pytest.param(check, id=check.__name__, marks=getattr(check, "pytestmark", ())) for check in FAULT_CHECKS]
)
def test_the_driver(check: FaultCheck, faulty_database: FaultyDatabase) -> None:
    check(faulty_database)
