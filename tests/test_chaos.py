"""`scripts/chaos`, for a minute: a daemon is killed ten times under load, and its records hold. By hand: for longer."""

import subprocess
import sys

import pytest

from tests.daemon_process import ROOT


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")
def test_ten_kills_leave_nothing_lost_doubled_or_unexplained() -> None:
    chaos = subprocess.run(
        [sys.executable, ROOT / "scripts" / "chaos", "--kills", "10", "--alive", "20", "--seed", "7"],
        capture_output=True,
        text=True,
        timeout=600,
    )

    assert chaos.returncode == 0, chaos.stdout + chaos.stderr
    assert chaos.stdout.count("processes were alive") == 10
    assert "0 faults" in chaos.stdout
