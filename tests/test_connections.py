"""Connections that are kept, closed and counted, with real servers."""

import time

import pytest
import trio
from http_servers import Peer, Seen, Server, call_once, connections, fixed, serving, sockets

from kala.calls import connections as module
from kala.states import State


async def wait_for_closed(server: Server) -> None:
    with trio.fail_after(30):
        while server.open:  # noqa: ASYNC110 - the server tells nobody
            await trio.sleep(0.01)


def test_a_connection_is_used_again_for_its_origin_only() -> None:
    async def main() -> None:
        async with serving({"/": fixed(200)}) as server, serving({"/": fixed(200)}) as other, connections() as made:
            for _ in range(3):
                assert (await call_once(made, server.url))[0].state == State.SUCCEEDED
            await call_once(made, other.url)
            assert (server.connections, other.connections, len(server.requests)) == (1, 1, 3)

    trio.run(main)


def test_what_may_not_be_repeated_never_travels_on_a_used_connection() -> None:
    async def main() -> None:
        async with serving({"/": fixed(200)}) as server, connections() as made:
            for method in ("GET", "POST", "PATCH", "POST"):
                await call_once(made, server.url, method=method)
            assert server.connections == 4
            await call_once(made, server.url)  # but what it leaves may be
            assert server.connections == 4

    trio.run(main)


@pytest.mark.parametrize("warned", [True, False], ids=["said so", "just did"])
def test_a_connection_that_the_server_closed_is_noticed(warned: bool) -> None:
    async def close(peer: Peer, seen: Seen) -> None:
        await peer.send(200, b"bye", *(["Connection: close"] if warned else []))
        await peer.stream.aclose()

    async def main() -> None:
        async with serving({"/": close}) as server, connections() as made:
            for n in range(1, 4):
                assert (await call_once(made, server.url))[0].state == State.SUCCEEDED
                assert (server.connections, len(server.requests)) == (n, n)
                await wait_for_closed(server)

    trio.run(main)


@pytest.mark.parametrize(("method", "state", "requests"), [("GET", State.SUCCEEDED, 3), ("POST", State.FAILED, 2)])
def test_a_connection_closed_while_the_request_travels(method: str, state: State, requests: int) -> None:
    """A server that takes the second request of a connection and closes it without a word. What may be repeated is,
    once; a POST, here the first of its connection, is not."""
    taken = 0

    async def second_is_dropped(peer: Peer, seen: Seen) -> None:
        nonlocal taken
        taken += 1
        if taken == 2:
            await peer.stream.aclose()
        else:
            await peer.send(200)

    async def main() -> None:
        async with serving({"/": second_is_dropped}) as server, connections() as made:
            await call_once(made, server.url)
            attempt, _ = await call_once(made, server.url, method=method)
            assert (attempt.state, len(server.requests), server.connections) == (state, requests, 2)

    trio.run(main)


def test_a_call_is_repeated_once_only_and_not_when_an_answer_had_begun() -> None:
    taken = 0

    async def only_first(peer: Peer, seen: Seen) -> None:
        nonlocal taken
        taken += 1
        if taken == 1:
            await peer.send(200)
            return
        if seen.target == "/begun":
            await peer.stream.send_all(b"HTTP/1.1 2")
        await peer.stream.aclose()

    async def main() -> None:
        nonlocal taken
        for path, requests in {"/": 3, "/begun": 2}.items():
            taken = 0
            async with serving({"/": only_first, "/begun": only_first}) as server, connections() as made:
                await call_once(made, server.url)
                attempt, _ = await call_once(made, server.url + path)
                assert (attempt.state, len(server.requests)) == (State.FAILED, requests)

    trio.run(main)


def test_kept_connections_are_bounded_and_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 5)
    monkeypatch.setattr(module, "IDLE", 3.0)
    monkeypatch.setattr(module, "SWEEP", 0.05)

    async def main() -> None:
        arrived, everybody = 0, trio.Event()

        async def together(peer: Peer, seen: Seen) -> None:
            nonlocal arrived
            arrived += 1
            if arrived == 20:
                everybody.set()
            await everybody.wait()
            await peer.send(200)

        async with serving({"/": together}) as server, connections() as made, trio.open_nursery() as outer:
            outer.start_soon(made.tend)
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(call_once, made, server.url)
            assert server.connections == 20
            with trio.fail_after(30):
                while server.open > 5:  # noqa: ASYNC110 - the server tells nobody
                    await trio.sleep(0.01)
            assert server.open == 5
            await wait_for_closed(server)
            outer.cancel_scope.cancel()

    trio.run(main)


async def half(peer: Peer, seen: Seen) -> None:
    await peer.stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await peer.more()  # the client hangs up


def test_no_socket_is_left() -> None:
    async def main() -> None:
        before = sockets()
        async with serving({"/": fixed(200), "/half": half}) as server, connections() as made:
            for path in ("/", "/none", "/half"):
                for method in ("GET", "POST"):
                    await call_once(made, server.url + path, method=method, seconds=0.2)
            with trio.move_on_after(0.2):
                await call_once(made, server.url + "/half")
            await made.aclose()
            await wait_for_closed(server)
            await call_once(made, server.url)  # of a daemon that stops: nothing is kept any more
            await wait_for_closed(server)
        assert sockets() == before

    trio.run(main)


@pytest.mark.slow
def test_a_thousand_at_once_cost_ten_times_a_hundred() -> None:
    async def seconds(count: int) -> float:
        async with serving({"/": fixed(200)}) as server, connections() as made:
            began = time.process_time()
            async with trio.open_nursery() as nursery:
                for _ in range(count):
                    nursery.start_soon(call_once, made, server.url)
            assert len(server.requests) == count
            return time.process_time() - began

    trio.run(seconds, 100)
    hundred = min(trio.run(seconds, 100) for _ in range(3))
    assert trio.run(seconds, 1000) < 30 * hundred  # a pool that looks through all would need a hundred times as much
