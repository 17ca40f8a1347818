"""Calls that are kept out of networks, with real sockets and a pretended name server."""

import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from daemon_process import API, KalaProcess
from http_servers import Server, call_once, connections, fixed, serving

from kala.calls import denied as module
from kala.calls.denied import Denied, Deny, open_allowed
from kala.job import Attempt
from kala.notices import poster
from kala.states import State
from kala.values import Peers, peers

PRIVATE = peers("private")("private")
LOW = peers("private")("127.0.0.2/31")  # 127.0.0.1 is not in it
Networks = Sequence[Peers]

PUBLIC = ["8.8.8.8", "1.1.1.1", "192.31.196.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"]
PUBLIC += ["2002:808:808::1", "::ffff:8.8.8.8"]
NOT_PUBLIC = [
    *("127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.127.255.255", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1"),
    *("192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
    *("::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd12:3456::1", "ff02::1", "fec0::1", "2001:db8::1", "3fff::1"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.1.2.3", "::127.0.0.1", "::ffff:0:127.0.0.1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "2002:7f00:1::1", "2002:a9fe:a9fe::1"),
    *("2001:0:808:808::1", "2001:10::1", "100::1", "5f00::1", "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:a00:1"),
    *("no address", ""),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_private_is_all_that_is_not_public(address: str) -> None:
    assert Deny(PRIVATE).rule(address) == "private"


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_not_private(address: str) -> None:
    assert Deny(PRIVATE).rule(address) == ""


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        ("10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::"], ["11.0.0.1", "::1"]),
        ("8.8.8.8", ["8.8.8.8", "::ffff:808:808", "64:ff9b:1::808:808", "2001:0:808:808::1"], ["8.8.4.4"]),
        ("8.8.8.8", ["2001:0:1:2:3:4:f7f7:f7f7"], ["2001:0:1:2:3:4:808:808"]),  # a Teredo client's is turned over
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1"]),
        ("2001:db8::/32", ["2001:db8::1"], ["2001:db9::1", "10.0.0.1"]),
        ("::/0", ["::1", "2606:4700::1"], ["10.0.0.1"]),
        ("0.0.0.0/0,::/0", ["1.1.1.1", "2606:4700::1"], []),
    ],
)
def test_a_network_is_denied_in_whatever_form_it_is_written(rule: str, yes: list[str], no: list[str]) -> None:
    deny = Deny(peers("private")(rule))
    assert all(deny.rule(address) for address in yes)
    assert not any(deny.rule(address) for address in no)


def test_pythons_own_idea_of_what_is_global_goes_no_further() -> None:
    """Over all /16 of IPv4, and the special blocks of IPv6: what the library calls private is denied."""
    deny = Deny(PRIVATE)
    for high in range(65_536):
        address = ipaddress.ip_address(high << 16 | 0x0101)
        if not address.is_global or address.is_multicast:
            assert deny.rule(str(address)), address
    for high in range(65_536):
        six = ipaddress.ip_address(high << 112 | 1)
        if not six.is_global or six.is_multicast:
            assert deny.rule(str(six)) or six in ipaddress.ip_network("2002::/16"), six


class Names:
    """A name server: the addresses of each name, one list for each time that it is asked. It counts."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.names, self.asked = names, 0

    async def getaddrinfo(self, host: Any, port: Any, *rest: Any) -> list[Any]:
        self.asked += 1
        name = (host.decode() if isinstance(host, bytes) else host).rstrip(".").replace(".", "_")
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        lists = self.names[name]
        addresses = lists.pop(0) if len(lists) > 1 else lists[0]
        found = []
        for address in addresses:
            six = ":" in address
            family = socket.AF_INET6 if six else socket.AF_INET
            found.append((family, socket.SOCK_STREAM, 6, "", (address, port, 0, 0) if six else (address, port)))
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


def calling(
    url: str, rules: Networks, names: Names | None = None, environment: dict[str, str] | None = None
) -> tuple[Attempt, Server, Server]:
    """A call: PORT in `url` is that of two servers, at 127.0.0.1 and 127.0.0.2, which are returned."""

    async def main() -> tuple[Attempt, Server, Server]:
        if names is not None:
            trio.socket.set_custom_hostname_resolver(names)  # type: ignore[arg-type]
        async with (
            serving({"/": fixed(200, b"one")}) as one,
            serving({"/": fixed(200, b"two")}, host="127.0.0.2", port=one.port) as two,
            connections(environment, rules) as made,
        ):
            attempt, _ = await call_once(made, url.replace("PORT", str(one.port)))
            return attempt, one, two

    return trio.run(main)


ODD = [
    "http://127.0.0.1:PORT/",
    "http://127.1:PORT/",
    "http://0x7f.1:PORT/",
    "http://0x7f000001:PORT/",
    "http://2130706433:PORT/",
    "http://017700000001:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::]:PORT/",
    "http://[::1]:PORT/",
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://inside.example:PORT/",
    "http://inside.example.:PORT/",
    "http://INSIDE.example:PORT/",
    "http://user:word@inside.example:PORT/",
    "http://mapped.example:PORT/",
    "http://both.example:PORT/",
]


def inside() -> Names:
    return Names(
        inside_example=[["127.0.0.1"]],
        mapped_example=[["::ffff:127.0.0.1"]],
        both_example=[["10.0.0.1", "127.0.0.1", "::1"]],
        localhost=[["127.0.0.1"]],
        gate_example=[["127.0.0.1"]],
    )


@pytest.mark.parametrize("url", ODD)
def test_no_notation_gets_in(url: str) -> None:
    attempt, one, two = calling(url, PRIVATE, inside())
    host = url.partition("://")[2].rpartition("@")[2].partition(":PORT")[0].lower()
    assert attempt.state is State.FAILED
    assert attempt.error == f"{host}:{one.port} may not be called: --remote-deny private"
    assert one.connections + two.connections == 0


ONE = peers("private")(["127.0.0.1", "::/0", "0.0.0.0/8", "10.0.0.0/8"])  # but not 127.0.0.2, which redirects


@pytest.mark.parametrize("url", ODD)
def test_nor_after_a_redirect(url: str) -> None:
    async def main() -> None:
        trio.socket.set_custom_hostname_resolver(inside())  # type: ignore[arg-type]
        async with serving({"/": fixed(200)}) as one, connections(denied=ONE) as made:
            to = url.replace("PORT", str(one.port))
            redirects = {"/": fixed(307, b"", f"Location: {to}")}
            async with serving(redirects, host="127.0.0.2") as two:
                attempt, _ = await call_once(made, f"http://127.0.0.2:{two.port}/")
                assert (attempt.state, one.connections, two.connections) == (State.FAILED, 0, 1)
                assert "may not be called: --remote-deny" in attempt.error

    trio.run(main)


@pytest.mark.parametrize("url", ["http://0177.0.0.1:PORT/", "http://①②⑦.0.0.1:PORT/", "http://127.0.0.1%00:PORT/"])
def test_what_is_no_url_is_not_called_either(url: str) -> None:
    attempt, one, _ = calling(url, PRIVATE)
    assert (attempt.state, one.connections) == (State.FAILED, 0)


def test_of_several_addresses_those_that_are_allowed_are_tried() -> None:
    names = Names(mixed_example=[["127.0.0.2", "127.0.0.3", "127.0.0.1"]])
    attempt, one, two = calling("http://mixed.example:PORT/", LOW, names)
    assert attempt.state is State.SUCCEEDED
    assert (one.connections, two.connections, names.asked) == (1, 0, 1)
    assert one.requests[0].values("host") == [f"mixed.example:{one.port}"]


def test_a_name_server_that_changes_its_mind_is_asked_once() -> None:
    names = Names(rebound_example=[["127.0.0.1"], ["127.0.0.2"]])
    attempt, one, two = calling("http://rebound.example:PORT/", LOW, names)
    assert attempt.state is State.SUCCEEDED
    assert (one.connections, two.connections, names.asked) == (1, 0, 1)
    other = Names(rebound_example=[["127.0.0.2"], ["127.0.0.1"]])
    attempt, one, two = calling("http://rebound.example:PORT/", LOW, other)
    assert attempt.error == f"rebound.example:{one.port} may not be called: --remote-deny 127.0.0.2/31"
    assert (one.connections, two.connections, other.asked) == (0, 0, 1)


def test_without_rules_all_can_be_called() -> None:
    attempt, one, _ = calling("http://inside.example:PORT/", (), inside())
    assert (attempt.state, one.connections) == (State.SUCCEEDED, 1)


@pytest.mark.parametrize("url", ["http://none.example:PORT/", "http://127.0.0.1:1/"])
def test_what_cannot_be_reached_is_told_as_ever(url: str) -> None:
    without, _, _ = calling(url, (), Names())
    with_rules, _, _ = calling(url, LOW, Names())
    assert without.error.startswith("cannot connect to ")
    assert with_rules.error.partition(": ")[2] == without.error.partition(": ")[2]


def test_no_call_goes_through_a_proxy() -> None:
    environment = {"HTTP_PROXY": "http://127.0.0.1:9"}
    attempt, _, _ = calling("http://public.example/", LOW, Names(), environment)
    assert attempt.error.startswith("public.example:80 would be called through the proxy 127.0.0.1:9, behind which")
    exempt = environment | {"NO_PROXY": "mixed.example"}
    names = Names(mixed_example=[["127.0.0.1"]])
    attempt, one, _ = calling("http://mixed.example:PORT/", LOW, names, exempt)
    assert (attempt.state, one.connections) == (State.SUCCEEDED, 1)


def test_a_kept_connection_is_one_that_was_allowed() -> None:
    """Given a name whose address becomes a denied one: the connection that is kept leads where it led."""

    async def main() -> None:
        names = Names(turning_example=[["127.0.0.1"], ["127.0.0.2"]])
        trio.socket.set_custom_hostname_resolver(names)  # type: ignore[arg-type]
        async with (
            serving({"/": fixed(200)}) as one,
            serving({"/": fixed(200)}, host="127.0.0.2", port=one.port) as two,
            connections(denied=LOW) as made,
        ):
            url = f"http://turning.example:{one.port}/"
            for _ in range(3):
                assert (await call_once(made, url))[0].state is State.SUCCEEDED
            assert (await call_once(made, url, method="POST"))[0].state is State.FAILED  # on a connection of its own
            assert (one.connections, two.connections, len(one.requests), names.asked) == (1, 0, 3, 2)

    trio.run(main)


def test_notifications_are_kept_out_as_well() -> None:
    async def main() -> None:
        async with serving({"/": fixed(200)}) as one, connections(denied=PRIVATE) as made:
            error = await poster(made)(one.url + "/", {}, b"{}")
            assert error == f"127.0.0.1:{one.port} may not be called: --remote-deny private"
            assert one.connections == 0

    trio.run(main)


# Connecting.


def connected_by(names: Names, monkeypatch: pytest.MonkeyPatch, silent: Sequence[str]) -> tuple[str, list[str], float]:
    """Whom a call of some.example is connected to, whom it was tried with, and how long it took, when some addresses
    never answer."""
    tried, ours = [], module.connected

    async def connected(family: socket.AddressFamily, target: tuple[Any, ...]) -> Any:
        tried.append(target[0])
        if target[0] in silent:
            await trio.sleep_forever()
        return await ours(family, target)

    async def main() -> tuple[str, list[str], float]:
        trio.socket.set_custom_hostname_resolver(names)  # type: ignore[arg-type]
        async with serving({}, host="127.0.0.1") as server:
            start = trio.current_time()
            with trio.fail_after(10):
                sock = await open_allowed("some.example", server.port, Deny(LOW))
            peer = sock.getpeername()[0]
            sock.close()
            return peer, tried, trio.current_time() - start

    monkeypatch.setattr(module, "connected", connected)
    return trio.run(main)


def test_an_address_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(some_example=[["127.0.0.9", "127.0.0.8", "127.0.0.2", "127.0.0.1"]])
    peer, tried, took = connected_by(names, monkeypatch, ["127.0.0.9", "127.0.0.8"])
    assert (peer, tried) == ("127.0.0.1", ["127.0.0.9", "127.0.0.8", "127.0.0.1"])
    assert 2 * module.STAGGER <= took < 2 * module.STAGGER + 9


def test_one_that_refuses_is_followed_at_once_and_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAGGER", 8.0)
    names = Names(some_example=[["::ffff:127.0.0.77", "::ffff:127.0.0.78", "127.0.0.1"]])
    peer, tried, took = connected_by(names, monkeypatch, [])
    assert (peer, tried) == ("127.0.0.1", ["::ffff:127.0.0.77", "127.0.0.1"])
    assert took < module.STAGGER


def test_who_has_connected_is_looked_at_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = module.connected

    async def elsewhere(family: socket.AddressFamily, target: tuple[Any, ...]) -> Any:
        return await ours(family, ("127.0.0.2", target[1]))

    async def main() -> None:
        trio.socket.set_custom_hostname_resolver(Names(some_example=[["127.0.0.1"]]))  # type: ignore[arg-type]
        async with serving({}, host="127.0.0.2") as server:
            with pytest.raises(Denied, match=r"127\.0\.0\.2/31"):
                await open_allowed("some.example", server.port, Deny(LOW))

    monkeypatch.setattr(module, "connected", elsewhere)
    trio.run(main)


@pytest.mark.slow
def test_a_daemon_heeds_the_flag(tmp_path: Path) -> None:
    """Given a daemon that may not call its own host: neither a job nor a notification gets to it."""
    with KalaProcess(tmp_path, "--remote-deny", "10.0.0.0/8", "--remote-deny", "private") as kala:
        job = kala.create(
            type=1,
            command="",
            remote_properties={"url": f"{kala.url}/healthz/"},
            notify=[{"url": f"{kala.url}/hook", "on": ["failure"]}],
        )
        run = kala.post(f"{API}/job/start/{job}/?wait=false").json["id"]
        ended = kala.wait_for(lambda: (one := kala.get(f"{API}/run/{run}/").json["run"])["ended"] and one)
        refused = f"{kala.url.removeprefix('http://')} may not be called: --remote-deny private"
        assert [one["error"] for one in ended["attempts"]] == [refused]
        kala.wait_log("notification not taken yet")
        assert refused in kala.log()
