"""The steps of `kala apply` where a daemon refuses some of them."""

from typing import Any, cast

import pytest

from kala.client.applying import take
from kala.client.faults import Answered
from kala.client.plan import CHANGE, DELETE, Step
from kala.client.server import Server

MEMBERS = {"parent_jobs": None, "on_failure_job": "", "owner": "o"}


class Refusing:
    """In place of a server: gives each job the answers in `statuses`, one after another, and then takes all."""

    def __init__(self, **statuses: list[int]) -> None:
        self.statuses, self.asked = statuses, list[str]()

    def edit(self, job_id: str, patch: object, version: int) -> dict[str, Any]:
        self.asked.append(job_id)
        if self.statuses.get(job_id):
            raise Answered(self.statuses[job_id].pop(0), "no")
        return {}

    def delete(self, job_id: str) -> None:
        self.edit(job_id, None, 0)


def done(server: Refusing, *steps: Step) -> list[str]:
    return [step.id for step in take(cast(Server, server), steps, print)]


def change(job_id: str) -> Step:
    return Step(CHANGE, job_id, job_id, members=MEMBERS, changes={"owner": ("", "o")})


def test_a_change_that_is_refused_waits_for_the_others_while_one_is_taken() -> None:
    server = Refusing(a=[400, 400], b=[400])
    assert done(server, change("a"), change("b"), change("c")) == ["c", "b", "a"]
    assert server.asked == ["a", "b", "c", "a", "b", "a"]
    with pytest.raises(Answered):
        done(Refusing(a=[400], b=[400]), change("a"), change("b"))
    with pytest.raises(Answered):
        done(Refusing(a=[412]), change("a"), change("b"))


def test_what_is_to_be_deleted_may_have_gone_but_nothing_else() -> None:
    steps = [Step(DELETE, one, one) for one in ("a", "b")]
    assert done(Refusing(a=[404]), *steps) == ["a", "b"]
    with pytest.raises(Answered):
        done(Refusing(a=[500]), *steps)
