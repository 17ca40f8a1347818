"""Trio's streams as httpcore2 wants them. Its own do the same, but open a nursery for each connection and leave the
socket of a handshake that is cancelled to the garbage collector. Timeouts are the callers' cancel scopes here.
"""

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2
import trio

STREAM_ERRORS = (trio.BrokenResourceError, trio.ClosedResourceError)


class Stream(httpcore2.AsyncNetworkStream):
    """A connection, with or without TLS."""

    def __init__(self, stream: "trio.SocketStream | trio.SSLStream[Any]", transport: trio.SocketStream) -> None:
        self._stream, self._transport = stream, transport

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except STREAM_ERRORS as error:
            raise httpcore2.ReadError(reason(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the interface
        try:
            await self._stream.send_all(buffer)
        except STREAM_ERRORS as error:
            raise httpcore2.WriteError(reason(error)) from error

    async def aclose(self) -> None:
        # At once, without TLS's goodbye: HTTP marks its own ends, and a goodbye can block.
        await trio.aclose_forcefully(self._stream)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface
    ) -> httpcore2.AsyncNetworkStream:
        stream = trio.SSLStream(self._stream, ssl_context, server_hostname=server_hostname, https_compatible=True)
        try:
            await stream.do_handshake()
        except BaseException as error:
            await trio.aclose_forcefully(stream)
            if isinstance(error, (*STREAM_ERRORS, ssl.CertificateError)):
                raise httpcore2.ConnectError(reason(error)) from error
            raise
        return Stream(stream, self._transport)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._stream if isinstance(self._stream, trio.SSLStream) else None
        if info == "is_readable":
            return self._transport.socket.is_readable()
        return None


class Backend(httpcore2.AsyncNetworkBackend):
    """Opens connections. An address is connected to directly; a name is looked up, and its addresses tried as RFC 8305
    has it."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        family = address_family(host)
        try:
            if family is None:
                stream = await trio.open_tcp_stream(host, port)
            else:
                stream = await connect(family, host, port)
        except OSError as error:
            raise httpcore2.ConnectError(reason(error)) from error
        return Stream(stream, stream)


async def connect(family: socket.AddressFamily, address: str, port: int) -> trio.SocketStream:
    made = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await made.connect((address, port))
        return trio.SocketStream(made)  # sets TCP_NODELAY
    except BaseException:
        made.close()
        raise


def address_family(host: str) -> socket.AddressFamily | None:
    """None for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def reason(error: BaseException) -> str:
    """What lies at the root of an error of the network, for people."""
    while True:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
        if isinstance(error, BaseExceptionGroup):  # one for each address that was tried
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        elif isinstance(error, OSError):
            return (error.strerror or str(error)).lower()
        else:
            return str(error) or "connection lost"
