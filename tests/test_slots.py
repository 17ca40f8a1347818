"""Slots: how many calls may be on, and who is next."""

import pytest
import trio
import trio.testing
from http_servers import Peer, Seen, call_once, connections, fixed, serving, sockets

from kala.calls.slots import Slots
from kala.states import State

SLOW, OTHER, THIRD = ("http", "slow", 80), ("http", "other", 80), ("http", "third", 80)


def test_one_origin_leaves_room_for_others_and_who_waits_gets_it_in_turns() -> None:
    async def main() -> None:
        slots, got = Slots(4), list[str]()

        async def take(origin: tuple[str, str, int]) -> None:
            await slots.take(origin)
            got.append(origin[1])

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(take, SLOW)
            await trio.testing.wait_all_tasks_blocked()
            assert got == ["slow"] * 3
            assert slots.take_nowait(OTHER)
            for origin in (OTHER, OTHER, THIRD):
                nursery.start_soon(take, origin)
            await trio.testing.wait_all_tasks_blocked()
            assert not slots.take_nowait(OTHER)
            del got[:]
            for origin in (OTHER, SLOW, SLOW, SLOW):
                slots.give_back(origin)
                await trio.testing.wait_all_tasks_blocked()
            assert sorted(got[:3]) == ["other", "slow", "third"]
            slots.give_back(OTHER)

    trio.run(main)


def test_who_leaves_leaves_no_slot_behind() -> None:
    async def main() -> None:
        slots = Slots(1)
        assert slots.take_nowait(SLOW)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slots.take, SLOW)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slots.take, SLOW)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            slots.give_back(SLOW)  # to who is about to leave
        assert slots.take_nowait(OTHER)

    trio.run(main)


def test_calls_wait_for_a_socket_and_a_hanging_origin_holds_up_no_other() -> None:
    most = 0

    async def main() -> None:
        nonlocal most
        release, before = trio.Event(), sockets()

        async def hang(peer: Peer, seen: Seen) -> None:
            nonlocal most
            most = max(most, server.open)
            await release.wait()
            await peer.send(200)

        async with serving({"/": hang}) as server, serving({"/": fixed(200)}) as other, connections() as made:
            made.slots = Slots(8)
            results = []

            async def calling() -> None:
                results.append((await call_once(made, server.url))[0].state)

            async with trio.open_nursery() as nursery:
                for _ in range(30):
                    nursery.start_soon(calling)
                with trio.fail_after(10):
                    while len(server.requests) < 6:  # noqa: ASYNC110 - the server tells nobody
                        await trio.sleep(0.01)
                    for _ in range(5):
                        assert (await call_once(made, other.url))[0].state is State.SUCCEEDED
                # a call that waits says so when its time is over
                attempt, _ = await call_once(made, server.url, seconds=0.1)
                assert attempt.state is State.TIMED_OUT
                assert "waiting for a connection" in attempt.error
                assert len(server.requests) == 6
                release.set()
            assert results == [State.SUCCEEDED] * 30
            assert most == 6
        assert sockets() == before

    trio.run(main)


def test_what_is_kept_is_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given more origins than connections may be kept: the one that was idle longest is closed for the next."""
    monkeypatch.setattr("kala.calls.connections.KEPT_IN_ALL", 2)

    async def main() -> None:
        answers = {"/": fixed(200)}
        async with serving(answers) as a, serving(answers) as b, serving(answers) as c, connections() as made:
            for server in (a, b, c, b, c):
                await call_once(made, server.url)
            assert (a.connections, b.connections, c.connections) == (1, 1, 1)
            with trio.fail_after(30):
                while a.open:  # noqa: ASYNC110 - the server tells nobody
                    await trio.sleep(0.01)
            await call_once(made, a.url)
            assert (a.connections, b.open + c.open <= 2) == (2, True)

    trio.run(main)


def test_a_connection_on_which_more_has_come_than_was_asked_for_is_not_kept() -> None:
    async def chatter(peer: Peer, seen: Seen) -> None:
        await peer.stream.send_all(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok" + b"HTTP/1.1 500 X\r\n\r\n")

    async def main() -> None:
        async with serving({"/": chatter}) as server, connections() as made:
            for _ in range(3):
                attempt, output = await call_once(made, server.url)
                assert (attempt.state, output) == (State.SUCCEEDED, b"ok")
            assert server.connections == 3

    trio.run(main)
