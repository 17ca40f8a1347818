"""TLS for the server's connections: its files, read and tried at the start, and again when told to.

Sockets stay plain, and each connection makes its own handshake (`guard.py`): a slow or failed one costs that connection
alone, and a reload is a new context for connections that come after it. Only HTTP/1.1 is agreed on: a proxy in front
may speak HTTP/2.
"""

import logging
import ssl
import stat
import time
from contextlib import suppress
from pathlib import Path
from socket import IPPROTO_TCP, TCP_QUICKACK
from typing import cast

import trio

from kala.errors import SettingsError
from kala.settings import Settings

log = logging.getLogger(__name__)

SOON = 14 * 86_400
"""Seconds before a certificate's end from which on the log says so."""
EXPIRED, NOT_YET = 10, 9  # OpenSSL's X509_V_ERR_CERT_…


class ServerTls:
    """The context of new connections. Raises `SettingsError` for files that cannot serve, naming the flag."""

    def __init__(self, settings: Settings) -> None:
        self._cert, self._client_ca = settings.tls_cert, settings.tls_client_ca
        self._key = settings.tls_key or settings.tls_cert
        self._key_flag = "--tls-key" if settings.tls_key else "--tls-cert"
        if not self._cert and (settings.tls_key or self._client_ca):
            given = "--tls-key" if settings.tls_key else "--tls-client-ca"
            raise SettingsError(f"{given} goes with --tls-cert: without a certificate there is no TLS")
        self.context: ssl.SSLContext | None = self._read() if self._cert else None

    def reload(self) -> None:
        """Read the files anew, for connections that come from now on. Where they are faulty, the old ones stay."""
        if self.context is None:
            return
        try:
            self.context = self._read()
        except SettingsError as fault:
            log.error("TLS goes on with the old certificate: %s", fault)
        else:
            log.info("the TLS certificate was read anew")

    def _read(self) -> ssl.SSLContext:
        chain = _certificates("--tls-cert", self._cert)
        _looked_after(self._key_flag, self._key, is_secret=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        if self._client_ca:
            context.load_verify_locations(cadata=_certificates("--tls-client-ca", self._client_ca))
            context.verify_mode = ssl.CERT_REQUIRED
        self._tell_its_end(chain)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        where = f"{self._key_flag} {self._key}"

        def password() -> str:
            raise SettingsError(f"{where} is encrypted: a daemon has nobody to ask for the password")

        try:
            context.load_cert_chain(self._cert, self._key, password)
        except OSError as error:  # ssl's errors are some
            if isinstance(error, ssl.SSLError):
                if error.reason == "KEY_VALUES_MISMATCH":
                    raise SettingsError(f"{where} is not the key of the certificate in {self._cert}") from None
                said = error.reason.lower().replace("_", " ") if error.reason else "it holds no key in PEM"
                raise SettingsError(f"{where} and --tls-cert cannot be used together: {said}") from None
            raise SettingsError(f"{where} cannot be read: {error.strerror}") from None

    def _tell_its_end(self, chain: str) -> None:
        """Log when the certificate has no long life any more, which is found in a handshake with ourselves: it is ssl's
        public way to a certificate's date."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._load(server)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever signed it: it vouches for itself here
        client.load_verify_locations(cadata=chain)
        try:
            end = _peer_certificate(server, client)["notAfter"]
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in (EXPIRED, NOT_YET):
                log.warning("--tls-cert %s: the %s", self._cert, error.verify_message)
            return
        except ssl.SSLError as error:
            log.warning("--tls-cert %s: a handshake with ourselves fails: %s", self._cert, error.reason)
            return
        left = ssl.cert_time_to_seconds(str(end)) - time.time()
        if left < SOON:
            log.warning("--tls-cert %s: the certificate ends in %d days, on %s", self._cert, left // 86_400, end)


def _certificates(flag: str, path: str) -> str:
    """The text of a file of certificates."""
    _looked_after(flag, path)
    try:
        text = Path(path).read_bytes().decode("ascii", "ignore")  # what is between certificates may be in any script
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise SettingsError(f"{flag} {path} holds no certificates in PEM") from None
    except OSError as error:
        raise SettingsError(f"{flag} {path} cannot be read: {error.strerror}") from None
    return text


def _looked_after(flag: str, path: str, *, is_secret: bool = False) -> None:
    """Refuse a file that others may write; warn of a secret that they may read."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise SettingsError(f"{flag} {path} cannot be read: {error.strerror}") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(f"{flag} {path} may be written by others than its owner: chmod go-w {path}")
    if is_secret and mode & stat.S_IROTH:
        log.warning("%s %s may be read by everybody here: chmod o-r %s", flag, path, path)


def _peer_certificate(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """What the client sees of the server's certificate, in a handshake in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = server.wrap_bio(to_server, to_client, server_side=True)
    there = client.wrap_bio(to_client, to_server)
    for one in (there, here) * 3:
        with suppress(ssl.SSLWantReadError):
            one.do_handshake()
    return cast(dict[str, object], there.getpeercert())


class KeptOpen(trio.abc.Stream):
    """A socket's stream that TLS does not close: it is read on after the last word."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class Talk:
    """One connection's use of a context. It keeps what OpenSSL wants to say last, which Trio does not send; and without
    Trio's stream it reads and writes what is short and whole. `is_new`: the stream has not sent anything after the
    handshake, of which it holds back the last piece until then."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context, self.incoming, self.outgoing = context, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._made: ssl.SSLObject
        self.is_new = True

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool, server_hostname: str | None
    ) -> ssl.SSLObject:
        self.incoming, self.outgoing = incoming, outgoing
        self._made = self._context.wrap_bio(incoming, outgoing, server_side, server_hostname)
        return self._made

    def is_quiet(self) -> bool:
        """Nothing has come that was not read, and nothing is to be sent."""
        return not (self._made.pending() or self.incoming.pending or self.outgoing.pending)

    def opened(self, received: bytes, most: int) -> bytes:
        """What the peer says with the bytes that came; nothing when it takes the stream to find out."""
        self.incoming.write(received)
        try:
            return self._made.read(most)
        except ssl.SSLError:  # more is needed, or it is the end, which is met again
            return b""

    def sealed(self, data: bytes) -> bytes:
        """The bytes that say `data`."""
        self._made.write(data)
        return self.outgoing.read()


async def secured(stream: trio.SocketStream, context: ssl.SSLContext) -> "tuple[trio.SSLStream[KeptOpen], Talk] | None":
    """TLS over `stream`, after the handshake. None: it failed, of which the peer has been told.

    Closing it says so to the peer, and leaves `stream` open. A peer that ends without such a word has broken off.
    """
    talk = Talk(context)
    made = trio.SSLStream(KeptOpen(stream), cast(ssl.SSLContext, talk), server_side=True)
    try:
        await made.do_handshake()
    except trio.BrokenResourceError as error:
        log.debug("a TLS handshake failed: %s", error.__cause__ or "the peer went")
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if alert := talk.outgoing.read():
                await stream.send_all(alert)
        return None
    with suppress(OSError):  # there is none on a unix socket, or the peer went
        # nothing is sent now that would tell the peer that its last word has come, and many wait 40 ms for that
        stream.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 1)
    return made, talk
