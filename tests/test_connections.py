"""Connections that are kept, closed, encrypted and led through proxies, with real servers."""

import os
import ssl
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio
from http_servers import Answer, Peer, Seen, Server, call_once, certificates, connections, fixed, serving

from kala import connections as module
from kala.errors import SettingsError
from kala.proxies import Proxies
from kala.states import State


def sockets() -> int:
    """Of this process."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


async def wait_for_closed(server: Server) -> None:
    with trio.fail_after(5):
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
    monkeypatch.setattr(module, "IDLE", 0.3)
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
            with trio.fail_after(5):
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return certificates(tmp_path_factory.mktemp("certificates"))


def test_tls_is_verified(authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    root, context = authority

    async def main() -> None:
        async with serving({"/": fixed(200, b"secret")}, context) as server:
            # given a certificate that nobody trusts, nothing is sent
            async with connections() as made:
                attempt, _ = await call_once(made, server.url)
                assert (attempt.state, attempt.error) == (
                    State.FAILED,
                    f"cannot connect to 127.0.0.1:{server.port}: its certificate is not trusted: "
                    "unable to get local issuer certificate",
                )
                assert not server.requests
            # given its authority, by the usual variable, it is called, on one connection
            monkeypatch.setenv("SSL_CERT_FILE", str(root))
            async with connections() as made:
                before = server.connections
                for _ in range(3):
                    assert (await call_once(made, server.url))[1] == b"secret"
                assert server.connections == before + 1
                # and not under a name that the certificate does not have
                attempt, _ = await call_once(made, f"https://localhost:{server.port}/")
                assert "its certificate is not trusted: Hostname mismatch" in attempt.error
        # nor is anything sent to what does not speak TLS
        async with connections() as made, trio.open_nursery() as nursery:

            async def plain(stream: trio.SocketStream) -> None:
                await stream.receive_some()
                await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await stream.aclose()

            listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), plain, 0)
            attempt, _ = await call_once(made, f"https://127.0.0.1:{listeners[0].socket.getsockname()[1]}/")
            assert "TLS failed: " in attempt.error
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_handshake_that_hangs_is_timed_out_and_leaves_no_socket() -> None:
    async def main() -> None:
        before = sockets()
        async with connections() as made, trio.open_nursery() as nursery:

            async def silent(stream: trio.SocketStream) -> None:
                with trio.move_on_after(5):
                    while await stream.receive_some(65536):
                        pass
                await stream.aclose()

            listeners = await nursery.start(trio.serve_tcp, silent, 0)
            port = listeners[0].socket.getsockname()[1]
            attempt, _ = await call_once(made, f"https://127.0.0.1:{port}/", seconds=0.2)
            assert attempt.state == State.TIMED_OUT
            nursery.cancel_scope.cancel()
        assert sockets() == before

    trio.run(main)


async def relay(peer: Peer, seen: Seen) -> None:
    """A proxy's CONNECT."""
    host, _, port = seen.target.rpartition(":")
    far = await trio.open_tcp_stream(host, int(port))
    await peer.send(200)

    async def copy(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
        while data := await source.receive_some(65536):
            await sink.send_all(data)
        nursery.cancel_scope.cancel()

    async with far, trio.open_nursery() as nursery:
        nursery.start_soon(copy, far, peer.stream)
        nursery.start_soon(copy, peer.stream, far)


def test_a_proxy_of_the_environment_is_asked() -> None:
    async def main() -> None:
        answers: dict[str, Answer] = {"http://example.invalid/x": fixed(200, b"from the proxy")}
        async with serving(answers) as proxy:
            settings = {"HTTP_PROXY": f"http://me:pass@127.0.0.1:{proxy.port}", "NO_PROXY": "direct.invalid"}
            async with connections(settings) as made:
                for _ in range(2):
                    _, output = await call_once(made, "http://example.invalid/x?y")
                    assert output == b"from the proxy"
                [seen, _] = proxy.requests
                assert seen.target == "http://example.invalid/x?y"
                assert seen.values("Host") == ["example.invalid"]
                assert seen.values("Proxy-Authorization") == ["Basic bWU6cGFzcw=="]
                assert proxy.connections == 1
                attempt, _ = await call_once(made, "http://direct.invalid/")
                assert attempt.error.startswith("cannot connect to direct.invalid:80")

    trio.run(main)


def test_tls_goes_through_a_tunnel(authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    root, context = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    monkeypatch.setattr("kala.proxies.is_this_host", lambda host: False)

    async def main() -> None:
        async with serving({"/": fixed(200, b"far")}, context) as server:
            there = f"127.0.0.1:{server.port}"
            async with (
                serving({there: relay}) as proxy,
                connections({"https_proxy": f"127.0.0.1:{proxy.port}"}) as made,
            ):
                for _ in range(2):
                    assert (await call_once(made, server.url))[1] == b"far"
                assert [seen.method for seen in proxy.requests] == ["CONNECT"]
                assert server.requests[0].values("Proxy-Authorization") == []
            async with serving({there: fixed(403)}) as proxy, connections({"HTTPS_PROXY": proxy.url}) as made:
                attempt, _ = await call_once(made, server.url)
                assert attempt.error == f"the proxy 127.0.0.1:{proxy.port} answered 403 for {there}"
            # a proxy that is itself spoken to by TLS
            async with serving({there: relay}, context) as proxy, connections({"HTTPS_PROXY": proxy.url}) as made:
                assert (await call_once(made, server.url))[1] == b"far"

    trio.run(main)


PROXIED = {  # NO_PROXY to hosts that are not proxied, and hosts that are
    "": (["localhost", "127.0.0.1", "[::1]", "127.8.0.1"], ["a.b", "10.0.0.1"]),
    "*": (["a.b", "10.0.0.1"], []),
    "a.b": (["a.b", "x.a.b", "A.B"], ["xa.b", "b"]),
    ".a.b": (["x.a.b"], ["a.b"]),
    "*.a.b": (["x.a.b"], ["a.b"]),
    "a.b:8080": (["a.b:8080"], ["a.b", "a.b:80"]),
    "a.b:80": (["a.b"], ["a.b:81"]),
    "10.0.0.0/8, 192.168.1.1": (["10.1.2.3", "192.168.1.1"], ["11.0.0.1", "192.168.1.2"]),
    "fd00::/8": (["[fd00::1]"], ["[fe80::1]"]),
}


@pytest.mark.parametrize("exempt", PROXIED)
def test_no_proxy_names_hosts(exempt: str) -> None:
    proxies = Proxies({"http_proxy": "proxy:3128", "no_proxy": exempt})
    direct, proxied = PROXIED[exempt]
    assert [host for host in direct + proxied if proxies.for_url(httpx2.URL(f"http://{host}/"))] == proxied


def test_which_proxy() -> None:
    plain, secure = httpx2.URL("http://a.b/"), httpx2.URL("https://a.b/")
    for environment, expected in (
        ({}, (None, None)),
        ({"HTTP_PROXY": "p"}, ("http://p", None)),
        ({"HTTPS_PROXY": "https://p:1"}, (None, "https://p:1")),
        ({"ALL_PROXY": "p"}, ("http://p", "http://p")),
        ({"HTTP_PROXY": "p", "http_proxy": "q"}, ("http://q", None)),
        ({"HTTP_PROXY": "p", "REQUEST_METHOD": "GET"}, (None, None)),
    ):
        found = Proxies(environment)
        assert tuple(url and str(url) for url in (found.for_url(plain), found.for_url(secure))) == expected
    for wrong in ("socks5://p", "http://", "http://a\nb"):
        with pytest.raises(SettingsError, match="HTTPS_PROXY"):
            Proxies({"HTTPS_PROXY": wrong})
