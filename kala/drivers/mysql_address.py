"""Where the server of `mysql.py` is: a URL, or a data source name as Go's MySQL driver takes it.

`host:port/database?option=value` is the plain form, `tcp(host:port)/database` and `(host:port)/database` say the same,
and `unix(/path/of/socket)/database` goes by a socket. `user:password@` may stand before each.
"""

import logging
import re
import ssl

from msgspec import Struct

from kala.drivers.server import Address, Server, Tls, read_address, tls_context
from kala.errors import SettingsError

PORT, DATABASE = 3306, "kala"
PASSED_OVER = frozenset(
    {
        "allowAllFiles",
        "allowCleartextPasswords",
        "allowNativePasswords",
        "allowOldPasswords",
        "charset",
        "checkConnLiveness",
        "clientFoundRows",
        "collation",
        "columnsWithAlias",
        "connectionAttributes",
        "interpolateParams",
        "loc",
        "maxAllowedPacket",
        "multiStatements",
        "parseTime",
        "readTimeout",
        "rejectReadOnly",
        "timeout",
        "writeTimeout",
    }
)
"""Options of Go's driver that say how it works, and mean nothing to this one."""

_DSN = re.compile(r"(?:(?P<login>.*)@)?(?P<net>\w*)\((?P<inner>[^()]*)\)(?P<rest>(?:[/?].*)?)", re.DOTALL)

_log = logging.getLogger(__name__)


class Way(Struct, frozen=True):
    """How to come to a database. Either `socket` is the path of one, or `host` and `port` say where the server is."""

    place: str
    host: str
    port: int
    socket: str
    database: str
    username: str
    password: str
    tls: ssl.SSLContext | None
    tls_if_offered: bool = False

    def __repr__(self) -> str:  # without the password
        return f"Way({self.place!r})"


def way_of(server: Server) -> Way:
    """What the settings say of the server. Raises `SettingsError`."""
    server, socket = _plain(server)
    address = read_address(server, {"mysql": None, "mariadb": None}, PORT)
    if len(address.hosts) > 1:
        raise SettingsError("--jobdb-address: it names several servers: name one, or what leads to the one that writes")
    for option in address.options:
        if option != "tls" and option not in PASSED_OVER:
            raise SettingsError(f"--jobdb-address: the option {option!r} is not known")
    if not address.username:
        raise SettingsError("--jobdb-username: MariaDB and MySQL need to know who connects")
    ((host, port),) = address.hosts
    database = address.path or DATABASE
    place = f"unix({socket})/{database}" if socket else f"{address.place.partition('/')[0]}/{database}"
    context, if_offered = _tls(address, server.tls)
    return Way(place, host, port, socket, database, address.username, address.password, context, if_offered)


def _plain(server: Server) -> tuple[Server, str]:
    """The same in the plain form, and the path of a socket."""
    found = _DSN.fullmatch(server.address.strip())
    if found is None:
        return server, ""
    if found["net"] not in ("", "tcp", "unix"):
        raise SettingsError(f"--jobdb-address: {found['net']}(…) is not known: write tcp(host:port) or unix(/path)")
    # In this form a password is written as it is, in a URL with %XX.
    username, _, password = (found["login"] or "").partition(":")
    by_socket = found["net"] == "unix"
    if by_socket and not found["inner"].startswith("/"):
        raise SettingsError("--jobdb-address: unix(…) holds the path of a socket, which begins with a slash")
    plain = Server(
        ("" if by_socket else found["inner"]) + found["rest"],
        server.username or username,
        server.password or password,
        server.tls,
    )
    return plain, found["inner"] if by_socket else ""


def _tls(address: Address, tls: Tls) -> tuple[ssl.SSLContext | None, bool]:
    """What a connection is wrapped in, and whether only where the server offers it."""
    asked = address.options.get("tls", "").lower()
    if asked in ("", "true", "1", "custom"):
        if asked == "custom" and not tls:
            raise SettingsError("--jobdb-address: tls=custom goes with the files of --jobdb-tls-…")
        return (tls_context(tls) if tls or asked else None), False
    if asked == "skip-verify":
        context = tls_context(tls)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _log.warning("tls=skip-verify: whoever is on the way to the database can pretend to be it")
        return context, False
    if asked in ("preferred", "false", "0"):
        if tls:
            raise SettingsError(f"--jobdb-address: tls={asked} contradicts --jobdb-tls-…: leave one of them out")
        if asked == "preferred":
            _log.warning(
                "tls=preferred: whoever is on the way to the database can read along: tls=true does not let them"
            )
        return None, asked == "preferred"
    raise SettingsError(
        f"--jobdb-address: tls={asked} is not known: write true, false, skip-verify, preferred or custom"
    )
