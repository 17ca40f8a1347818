"""The whole corpus against a daemon: every input is answered as it should be, and nothing is left of it."""

from pathlib import Path

import pytest

from .run import GROUPS, Hostile
from .slow import DEAF, DRIPS, STOPS
from .sockets import HANDSHAKES

FEWEST = 500


@pytest.mark.slow
def test_nothing_that_is_sent_harms(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path)
    hostile.run()
    print("\n".join(hostile.table()))  # noqa: T201 - for whoever looks into a failure
    assert hostile.wrong == []
    assert sum(tally.deaths for tally in hostile.tallies) == 0
    assert hostile.inputs >= FEWEST


def test_inputs_are_distinct_and_each_says_what_is_right() -> None:
    cases = [case for group in (*GROUPS, HANDSHAKES, STOPS) for case in group.inputs]
    assert len(cases) + len(DRIPS) + len(DEAF) >= FEWEST
    sent = {getattr(case, "data", getattr(case, "packets", None)) for case in cases}
    assert len(sent) > 0.97 * len(cases)  # a few are the same by chance
    assert len(sent) >= FEWEST
    for case in cases:
        if hasattr(case, "end"):
            assert case.answers or case.end == "closed", case.name
            assert not any(status == 500 for statuses in case.answers for status in statuses), case.name
