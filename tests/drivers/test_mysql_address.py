"""Where a MariaDB or MySQL server is, as people write it."""

import pytest

from kala.drivers.mysql import MysqlDriver
from kala.drivers.mysql_address import way_of
from kala.drivers.server import Server, Tls
from kala.errors import SettingsError


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("", "127.0.0.1:3306/kala"),
        ("host", "host:3306/kala"),
        ("host:1/base", "host:1/base"),
        ("/base", "127.0.0.1:3306/base"),
        ("(host:1)/base", "host:1/base"),
        ("(host)/", "host:3306/kala"),
        ("()/base", "127.0.0.1:3306/base"),
        ("tcp(host:1)", "host:1/kala"),
        ("tcp([::1]:1)/base", "[::1]:1/base"),
        ("tcp(host)/base?parseTime=true&charset=utf8mb4&collation=x&loc=UTC", "host:3306/base"),
        ("tcp(host)/?timeout=3s&readTimeout=3s&writeTimeout=3s", "host:3306/kala"),
        ("mysql://host/base", "host:3306/base"),
        ("mariadb://me:secret@host:1/base?tls=false", "host:1/base"),
        ("me:s%ecret@tcp(host:1)/base", "host:1/base"),
        ("unix(/run/my sql.sock)/base", "unix(/run/my sql.sock)/base"),
        ("unix(/run/s)", "unix(/run/s)/kala"),
    ],
)
def test_addresses(address: str, place: str) -> None:
    driver = MysqlDriver(Server(address, "me", "secret"))
    assert driver.place == place
    assert "secret" not in f"{driver!r} {way_of(Server(address, 'me', 'secret'))!r}"


def test_who_connects() -> None:
    url = way_of(Server("mysql://m%40e:s%3Aecret@host"))
    assert (url.username, url.password) == ("m@e", "s:ecret")
    name = way_of(Server("me:s%3A@cret@tcp(host)/base"))  # as it is: Go's driver does not unquote it
    assert (name.username, name.password, name.host) == ("me", "s%3A@cret", "host")
    settings = way_of(Server("me:secret@tcp(host)/base", "you", "yours"))
    assert (settings.username, settings.password) == ("you", "yours")


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (Server("host"), "--jobdb-username"),
        (Server("postgres://host", "me"), "may begin with mysql://, mariadb://"),
        (Server("a,b", "me"), "several servers"),
        (Server("pipe(x)/base", "me"), r"pipe\(…\) is not known"),
        (Server("unix(x)/base", "me"), "begins with a slash"),
        (Server("tcp(host:0)/base", "me"), "'0' is not a port"),
        (Server("tcp(host)/base?sslmode=require", "me"), "'sslmode' is not known"),
        (Server("tcp(host)/base?tls=maybe", "me"), "tls=maybe is not known"),
        (Server("tcp(host)/base?tls=custom", "me"), "tls=custom goes with"),
        (Server("tcp(host)/base?tls=false", "me", tls=Tls(name="x")), "tls=false contradicts"),
        (Server("tcp(host)/base?tls=preferred", "me", tls=Tls(name="x")), "tls=preferred contradicts"),
        (Server("tcp(host)/base", "me", tls=Tls(ca="/none")), "--jobdb-tls-capath: /none cannot be used"),
    ],
)
def test_settings_that_cannot_be_meant(server: Server, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        MysqlDriver(server)
