"""The log: formats, hostile text, and writing that fails."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kala import logs
from kala.errors import SettingsError
from kala.logs import fields

HOSTILE = 'a"b\\c\nlevel=error msg=forged\r\x1b[2J\x00\x7f\x85\u2028\u202e\udcff'
log = logging.getLogger("kala.test")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("kala")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.captureWarnings(False)


def lines(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1]


def test_logfmt(tmp_path: Path) -> None:
    logs.setup(path=str(tmp_path / "log"))
    log.info("run ended", extra=fields(job="j1", name="two words", late=1.5, ok=False, empty="", none=None))
    log.debug("not without -v")
    logging.getLogger("hypercorn.access").info("nor others' trifles")
    [line] = lines(tmp_path / "log")
    assert re.sub(r"time=20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "time=T", line) == (
        'time=T level=info msg="run ended" job=j1 name="two words" late=1.5 ok=false empty=""'
    )


def test_verbose(tmp_path: Path) -> None:
    logs.setup(verbose=True, log_format="text", path=str(tmp_path / "log"))
    log.debug("here")
    log.warning("there", extra=fields(job="j"))
    assert lines(tmp_path / "log") == ["DEBU[0000] here", f"{'WARN[0000] there':<56} job=j"]


def test_json(tmp_path: Path) -> None:
    logs.setup(log_format="json", path=str(tmp_path / "log"))
    log.error("bad %s", "thing", extra=fields(count=3, msg="a field", path=Path("/x")))
    members = json.loads(lines(tmp_path / "log")[0])
    assert list(members) == ["time", "level", "msg", "count", "fields.msg", "path"]
    assert (members["level"], members["msg"], members["count"]) == ("error", "bad thing", 3)
    assert (members["fields.msg"], members["path"]) == ("a field", "/x")


@pytest.mark.parametrize("log_format", ["text", "logfmt", "json"])
def test_no_text_can_forge_a_line(tmp_path: Path, log_format: str) -> None:
    logs.setup(log_format=log_format, path=str(tmp_path / "log"))
    log.info("%s", HOSTILE, extra=fields(job=HOSTILE))
    written = (tmp_path / "log").read_text()
    assert written.endswith("\n")
    assert written[:-1].isprintable(), "one line, without control characters"
    assert "forged" in written
    if log_format == "json":
        assert json.loads(written)["job"] == HOSTILE
    if log_format == "logfmt":
        assert r'job="a\"b\\c\nlevel=error' in written


@pytest.mark.parametrize("log_format", ["text", "logfmt", "json"])
def test_tracebacks_are_kept(tmp_path: Path, log_format: str) -> None:
    logs.setup(log_format=log_format, path=str(tmp_path / "log"))
    try:
        raise RuntimeError("first\nINFO[0000] second")
    except RuntimeError:
        log.exception("it failed")
    written = lines(tmp_path / "log")
    assert "RuntimeError: first" in "\n".join(written)
    assert "test_logs.py" in "\n".join(written)
    if log_format == "text":
        assert written[0] == "ERRO[0000] it failed"
        assert all(line.startswith("    ") for line in written[1:])
    else:
        assert len(written) == 1


def test_what_is_tried_ten_times_a_second_is_told_once_a_minute(tmp_path: Path) -> None:
    accepting = logging.getLogger("trio.serve_listeners")
    logs.setup(path=str(tmp_path / "log"))
    logs.setup(path=str(tmp_path / "log"))
    for seconds in 0, 0.1, 59, 61, 62, -3_600, -3_599:  # the clock was set back
        record = accepting.makeRecord(accepting.name, logging.ERROR, "", 0, "no descriptors", (), None)
        record.created, record.exc_info = 1e9 + seconds, (OSError, OSError("EMFILE"), None)
        accepting.handle(record)
    written = lines(tmp_path / "log")
    assert [line.split()[0][-10:] for line in written] == ["T01:46:40Z", "T01:47:41Z", "T00:46:40Z"]
    assert not any("OSError" in line for line in written)


def test_a_wrong_logging_call_is_told_and_raises_nothing(tmp_path: Path) -> None:
    class Unshown:
        def __str__(self) -> str:
            raise RuntimeError

    logs.setup(path=str(tmp_path / "log"))
    log.info("%d of %d", "x")
    log.info("fine", extra=fields(value=Unshown()))
    assert ["a log line cannot be made" in line for line in lines(tmp_path / "log")] == [True, True]


def test_reopen_after_the_file_was_moved(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.setup(path=str(path))
    log.info("one")
    path.rename(tmp_path / "old")
    log.info("two")
    logs.reopen()
    log.info("three")
    assert [line.rpartition("msg=")[2] for line in lines(tmp_path / "old")] == ["one", "two"]
    assert [line.rpartition("msg=")[2] for line in lines(path)] == ["three"]


def test_reopen_that_fails_goes_on_with_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    logs.setup(path=str(folder / "log"))
    folder.rename(tmp_path / "moved")
    logs.reopen()
    log.info("still here")
    written = lines(tmp_path / "moved" / "log")
    assert "cannot be opened anew" in written[0]
    assert "No such file or directory" in written[0]
    assert "still here" in written[1]


def test_lines_that_cannot_be_written_are_counted_and_told(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/dev/full")  # every write: no space left on device
    logs.setup(path=str(tmp_path / "log"))
    log.info("one")
    log.info("two")
    (tmp_path / "log").unlink()
    logs.reopen()
    log.info("three")
    log.info("four")
    told, three, four = lines(tmp_path / "log")
    assert 'msg="log lines were lost" lines=2 error="No space left on device"' in told
    assert (three.rpartition("msg=")[2], four.rpartition("msg=")[2]) == ("three", "four")


def test_nobody_reads_the_pipe() -> None:
    program = (
        "import logging, sys\nfrom kala import logs\nlogs.setup()\nsys.stdin.read()\n"
        "logging.getLogger('kala').info('lost')\nprint('goes on')"
    )
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writer
    )
    os.close(writer)
    os.close(reader)
    assert process.communicate(b"", timeout=30)[0] == b"goes on\n"
    assert process.returncode == 0


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--log-file: .*No such file or directory"):
        logs.setup(path=str(tmp_path / "no" / "log"))
