"""What systemd is told of the daemon (`Type=notify`): that it is ready, what it does, that its loop turns.

systemd names a socket in `NOTIFY_SOCKET`, and takes datagrams of lines `NAME=value` there. Without the variable nobody
asks, and nothing is told. It is one datagram: sdnotify had its last release in 2017, systemd-python needs
a compiler and libsystemd.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, MutableMapping

import trio

log = logging.getLogger(__name__)

OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables that are for this process, and for nothing that it starts: a job would speak for the daemon."""
EVERY = 5.0
"""Seconds between two words, when the watchdog does not want them sooner."""
PATIENCE = 30.0
"""Seconds of patience that are asked for with each of them while the daemon starts or stops."""


class Systemd:
    """Takes `OURS` out of `environment`; `status()` says in a line what the daemon does. No method raises, or waits."""

    def __init__(self, environment: MutableMapping[str, str], status: Callable[[], str]) -> None:
        self._status = status
        address, every, pid = (environment.pop(name, "") for name in OURS)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        elif address:
            log.warning("systemd is not told anything: NOTIFY_SOCKET is neither a path nor abstract: %s", address)
        asked = every.isascii() and every.isdecimal() and pid in ("", str(os.getpid()))
        self._every = min(EVERY, int(every) / 2e6) if asked and int(every) else EVERY
        self._ready = self._stopping = self._failed = False
        self._owed: deque[str] = deque()  # what the socket had no room for

    def ready(self) -> None:
        """Jobs are loaded, and run."""
        self._ready = True
        if not self._stopping:
            self._tell(f"READY=1\n{self._said()}")

    def reloading(self) -> None:
        """SIGHUP is being heeded. `reloaded` must follow."""
        if self._ready and not self._stopping:
            self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1_000}")

    def reloaded(self) -> None:
        if self._ready and not self._stopping:
            self._tell("READY=1")

    def stopping(self) -> None:
        """Nothing starts any more; what is on may finish."""
        if not self._stopping:
            self._stopping = True
            self._tell(f"STOPPING=1\n{self._said()}")

    async def keep_telling(self) -> None:
        """Say that the loop turns, and what the daemon does. Runs until cancelled.

        A loop that hangs says nothing. Then systemd, once its watchdog's time is over, or that of a start or a stop,
        ends the process and starts it again.
        """
        while self._socket is not None:
            self._send_owed()
            lines = ["WATCHDOG=1", self._said()]
            if self._stopping or not self._ready:
                lines.append(f"EXTEND_TIMEOUT_USEC={PATIENCE * 1e6:.0f}")
            self._send("\n".join(lines))
            await trio.sleep(self._every)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _said(self) -> str:
        return f"STATUS={self._status()}".replace("\n", " ")

    def _tell(self, text: str) -> None:
        """Send what must come, in its order: later, when there is no room now."""
        self._owed.append(text)
        self._send_owed()

    def _send_owed(self) -> None:
        while self._owed and self._send(self._owed[0]):
            self._owed.popleft()

    def _send(self, text: str) -> bool:
        """False when it is to be sent again."""
        if self._socket is None:
            return True
        try:
            self._socket.sendto(text.encode(errors="replace"), self._address)
        except BlockingIOError:
            return False
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning("systemd cannot be told: %s: %s", self._address.replace("\0", "@"), error.strerror)
            return False
        self._failed = False
        return True
