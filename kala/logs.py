"""The log: lines through the standard library's `logging`, each a sentence and fields.

    log = logging.getLogger(__name__)
    log.info("run ended", extra=fields(job=job_id, run=run_id, state="failed"))

On a terminal a line is as logrus writes it, with the seconds since the start: `INFO[0003] run ended    job=…`.
Elsewhere it is logfmt (`time=… level=info msg="run ended" job=…`), or JSON with `--log-format json`. A traceback is a
field in these two and follows the line on a terminal. Whatever a message or a value holds, one record is one line (a
traceback's lines are indented), and no control character comes through: a job's name cannot forge a line.

A line that cannot be written (disk full, nobody reads the pipe) never raises: it is counted, and the next that can be
written is preceded by one that says how many were lost.
"""

import json
import logging
import os
import re
import time
import traceback

from kala.clock import SECOND, rfc3339
from kala.errors import SettingsError

LOGRUS = {"DEBUG": "DEBU", "INFO": "INFO", "WARNING": "WARN", "ERROR": "ERRO", "CRITICAL": "FATA"}
OWN = ("time", "level", "msg")
"""Names of a line's own members: a field of the same name is written as `fields.msg`, as logrus does."""

ODD = 60.0
"""Seconds between two lines of `NowAndThen`."""

_PLAIN = re.compile(r"[\w./@^+:,*%&{}()\[\]<>-]+")
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""What moves the cursor, breaks a line, turns the direction of text or cannot be written."""
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def fields(**values: object) -> dict[str, object]:
    """The `extra` of a logging call, in the order given; None is left out."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


def escaped(text: str) -> str:
    """`text` with each character of `_HIDDEN` written as JSON would."""
    return _HIDDEN.sub(lambda match: _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}", text)


def quoted(value: object) -> str:
    """A value of logfmt: as it stands when it is one plain word, else between quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    return '"' + escaped(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


class Formatter(logging.Formatter):
    """What is common to the formats: a record's parts."""

    def parts(self, record: logging.LogRecord) -> tuple[str, dict[str, object], str]:
        """The message, its fields, and the traceback or empty text."""
        given = getattr(record, "fields", {})
        named = {f"fields.{name}" if name in OWN else name: value for name, value in given.items()}
        trace = ""
        if record.exc_info and record.exc_info[0]:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        elif record.exc_text:
            trace = record.exc_text
        return record.getMessage(), named, trace

    def moment(self, record: logging.LogRecord) -> str:
        return rfc3339(int(record.created * 1_000) * (SECOND // 1_000))


class Terminal(Formatter):
    """`INFO[0003] message                                      key=value`."""

    def __init__(self) -> None:
        super().__init__()
        self.start = time.time()

    def format(self, record: logging.LogRecord) -> str:
        message, named, trace = self.parts(record)
        level = LOGRUS.get(record.levelname, record.levelname[:4])
        line = f"{level}[{max(int(record.created - self.start), 0):04d}] {escaped(message)}"
        if named:
            line = f"{line:<56} " + " ".join(f"{quoted(name)}={quoted(value)}" for name, value in named.items())
        return line + "".join(f"\n    {escaped(row)}" for row in trace.split("\n") if row)


class Logfmt(Formatter):
    """`time=2026-01-02T03:04:05.678Z level=info msg="…" key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        message, named, trace = self.parts(record)
        members = {"time": self.moment(record), "level": record.levelname.lower(), "msg": message, **named}
        if trace:
            members["traceback"] = trace
        return " ".join(f"{quoted(name)}={quoted(value)}" for name, value in members.items())


class Json(Formatter):
    """`{"time": …, "level": …, "msg": …, key: value}`, values as JSON has them, others as text."""

    def format(self, record: logging.LogRecord) -> str:
        message, named, trace = self.parts(record)
        members = {"time": self.moment(record), "level": record.levelname.lower(), "msg": message, **named}
        if trace:
            members["traceback"] = trace
        return escaped(json.dumps(members, ensure_ascii=False, default=str))


class Handler(logging.Handler):
    """Writes lines to a file, or to standard error when `path` is empty. `emit` never raises.

    Each line is one `write` to a descriptor without a buffer, so that lines of several processes do not mix and
    nothing is held back when the daemon dies.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = self._opened()  # first: a handler that is known to logging is closed at the end
        super().__init__()
        self.lost = 0
        self.fault = ""
        self._torn = False  # the last line is there in part

    def _opened(self) -> int:
        if not self.path:
            return 2
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def reopen(self) -> None:
        """Open the file anew, after it was moved away. When that fails, the log goes on where it was, and says so."""
        if not self.path:
            return
        try:
            fresh = self._opened()
        except OSError as error:
            logging.getLogger(__name__).error(
                "the log file cannot be opened anew", extra=fields(path=self.path, error=error.strerror)
            )
            return
        self.acquire()
        os.close(self._descriptor)
        self._descriptor, self._torn = fresh, False
        self.release()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  # a wrong argument of a logging call, or a value that cannot be shown, must not end a run
            line = self.format(_about(logging.ERROR, "a log line cannot be made", template=repr(record.msg)))
        if self.lost:
            told = self.format(_about(logging.WARNING, "log lines were lost", lines=self.lost, error=self.fault))
            if not self._write(told):
                self.lost += 1
                return
            self.lost = 0
        if not self._write(line):
            self.lost += 1

    def _write(self, line: str) -> bool:
        data = (("\n" if self._torn else "") + line + "\n").encode("utf-8", "backslashreplace")
        while data:
            try:
                written = os.write(self._descriptor, data)
            except OSError as error:
                self.fault = error.strerror or str(error)
                return False
            data = data[written:]
            self._torn = bool(data)
        return True

    def close(self) -> None:
        super().close()
        if self.path and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class NowAndThen(logging.Filter):
    """Lets one record in `ODD` seconds pass, without its traceback: where the same happens ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        if record.created < self._next <= record.created + ODD:
            return False
        self._next = record.created + ODD
        return True


def _about(level: int, message: str, **values: object) -> logging.LogRecord:
    record = logging.LogRecord(__name__, level, __file__, 0, message, None, None)
    record.fields = values
    return record


def setup(*, verbose: bool = False, log_format: str = "auto", path: str = "") -> None:
    """Send all logging to `path`, or to standard error; called once, by the command line.

    Our own lines from INFO, others' from WARNING; with `verbose` ours from DEBUG and others' from INFO. Raises
    `SettingsError` when the file cannot be opened.
    """
    try:
        handler = Handler(path)
    except OSError as error:
        raise SettingsError(f"--log-file: {path!r} cannot be written: {error.strerror}") from None
    on_terminal = not path and os.isatty(2)
    formats = {"auto": Terminal if on_terminal else Logfmt, "text": Terminal, "logfmt": Logfmt, "json": Json}
    handler.setFormatter(formats[log_format]())
    logging.basicConfig(handlers=[handler], level=logging.INFO if verbose else logging.WARNING, force=True)
    logging.getLogger("kala").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.captureWarnings(True)
    accepting = logging.getLogger("trio.serve_listeners")  # it tries ten times a second when descriptors are used up
    if not any(isinstance(one, NowAndThen) for one in accepting.filters):
        accepting.addFilter(NowAndThen())


def reopen() -> None:
    """Open the log file of `setup` anew, for SIGHUP."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Handler):
            handler.reopen()
