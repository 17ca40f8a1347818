"""What a machine lacks: a test that needs it is skipped, and fails when `CI` is set."""

import os
from typing import NoReturn

import pytest
from servers.service import Service


def missing(because: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(because)
    pytest.skip(because)


def require(kind: type[Service]) -> None:
    """A server of this kind can be started here."""
    if lacking := kind.missing():
        missing(f"{lacking} is missing: scripts/services installs it")
