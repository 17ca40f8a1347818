"""Calls over TLS and through proxies, with real servers."""

import ssl
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio
from http_servers import Answer, Peer, Seen, call_once, certificates, connections, fixed, serving, sockets

from kala.calls.proxies import Proxies
from kala.errors import SettingsError
from kala.states import State
from kala.values import peers


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
            # likewise where networks are denied
            async with connections(denied=peers("private")("10.0.0.0/8")) as made:
                assert (await call_once(made, server.url))[1] == b"secret"
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
    monkeypatch.setattr("kala.calls.proxies.is_this_host", lambda host: False)

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
