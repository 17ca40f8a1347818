"""From an address to a client of `mongo.py`: hosts, credentials, TLS. Options behind the `?` are handed on to pymongo.

Neither makes a connection: that is the first call's.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.uri_parser import validate_options

from kala.drivers.server import Address, Server, Tls, read_address, tls_context
from kala.errors import SettingsError

Document = dict[str, Any]
Client = MongoClient[Document]

PORT = 27_017
DEFAULT_DATABASE = "kala"
CONNECT_MS = 4_000  # for one address: beside the wait for a server, within the contract's `TIMEOUT`
SCHEMES = {"mongodb": None, "mongodb+srv": True}
_OURS = {"timeoutms", "connecttimeoutms", "sockettimeoutms", "serverselectiontimeoutms", "waitqueuetimeoutms"}


def checked_address(server: Server) -> Address:
    """The address of a server, found usable without connecting. Raises `SettingsError`."""
    address = read_address(server, SCHEMES, PORT)
    if server.tls.name:
        raise SettingsError(
            "--jobdb-tls-servername: MongoDB's client holds a certificate against the host in --jobdb-address alone:"
            " give the host by the name that its certificate has"
        )
    if address.password and not address.username:
        raise SettingsError("--jobdb-password goes with --jobdb-username")
    if address.scheme == "mongodb+srv" and (len(address.hosts) > 1 or address.hosts[0][1] != PORT):
        raise SettingsError("--jobdb-address: mongodb+srv:// takes one name, without a port")
    if any(letter in address.path for letter in '/\\. "$\0'):
        raise SettingsError(f"--jobdb-address: {address.path!r} cannot be the name of a database")
    taken = _OURS & {name.lower() for name in address.options}
    if taken:
        raise SettingsError(f"--jobdb-address: {min(taken)} cannot be given: how long a call may take is the daemon's")
    try:
        validate_options(dict(address.options), warn=False)
    except (ConfigurationError, InvalidURI, ValueError) as error:
        raise SettingsError(f"--jobdb-address: {error}") from None
    if server.tls:
        tls_context(server.tls)  # says at once which file cannot be used
    return address


def database_of(address: Address) -> str:
    return address.path or DEFAULT_DATABASE


def client_of(address: Address, tls: Tls) -> Client:
    """A client, not connected yet. Raises `SettingsError`."""
    options: dict[str, Any] = {
        "appname": "kala",
        "connectTimeoutMS": CONNECT_MS,
        "serverSelectionTimeoutMS": CONNECT_MS,
        "retryWrites": False,  # what is repeated is a whole commit, which is safe on any server
        "retryReads": False,  # pymongo would do so until the call's time is up
        "maxPoolSize": 16,
        "serverMonitoringMode": "poll",  # looks at once when a call has failed
    }
    if address.username:
        options["username"] = address.username
        if "authsource" not in {name.lower() for name in address.options}:
            options["authSource"] = address.path or "admin"  # as a connection string says it
    if address.password:
        options["password"] = address.password
    if tls:
        options["tls"] = True
        if tls.ca:
            options["tlsCAFile"] = tls.ca
    with _one_file(tls) as file:
        if file:
            options["tlsCertificateKeyFile"] = file
        try:
            return MongoClient(_uri(address), **options)
        except (ConfigurationError, InvalidURI, ValueError) as error:
            raise SettingsError(f"--jobdb-address: {error}") from None


def _uri(address: Address) -> str:
    """Without the credentials: those of the settings come first, and go beside it."""
    if address.scheme == "mongodb+srv":
        hosts = address.hosts[0][0]
    else:
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in address.hosts)
    query = f"?{urlencode(address.options, quote_via=quote)}" if address.options else ""
    return f"{address.scheme or 'mongodb'}://{hosts}/{quote(address.path)}{query}"


@contextmanager
def _one_file(tls: Tls) -> Iterator[str]:
    """Certificate and key in one file, as pymongo reads them, there while the client is made; "" without."""
    if not tls.key:
        yield tls.certificate
        return
    number, path = tempfile.mkstemp(prefix="kala-", suffix=".pem")  # readable by its owner alone
    try:
        with os.fdopen(number, "wb") as both:
            for each in tls.certificate, tls.key:
                with open(each, "rb") as file:
                    both.write(file.read() + b"\n")
        yield path
    finally:
        os.unlink(path)
