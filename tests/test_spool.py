"""The file of results that the database does not take."""

import os
import stat
from pathlib import Path

import msgspec
import pytest
from world import START

from kala.clock import SECOND
from kala.job import Attempt
from kala.states import State
from kala.store.results import Result
from kala.store.spool import Spool, read_line, written_line


def result(number: int = 1, output: bytes = b"\x00\xff printed") -> Result:
    attempt = Attempt(number, START, START + number * SECOND, State.FAILED, exit_code=1, error='it "failed"\n')
    return Result("job", f"run {number}", "instance", attempt, output)


def left(folder: Path, database: str = "one") -> list[Result]:
    """What a start finds, which leaves it."""
    found = Spool(folder, database).left()
    for one in found:
        one.close()
    return [result for one in found for result in one.results]


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_what_was_appended_is_found_by_the_next_start_and_by_no_other_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    spool = Spool(folder, "one")
    assert spool.left() == []
    spool.append([result(1), result(2)])
    spool.append([Result("job", "run 3", "instance", reason="shutdown")])
    assert spool.path is not None
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    assert left(folder) == []  # its daemon lives
    spool.close()
    assert left(folder) == [result(1), result(2), Result("job", "run 3", "instance", reason="shutdown")]
    # when one start records them, another that comes at the same time finds nothing
    (mine,) = Spool(folder, "one").left()
    assert left(folder) == []
    mine.remove()
    assert files(folder) == []


def test_results_of_another_database_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path, "sqlite /a")
    spool.append([result()])
    assert spool.path is not None
    name = str(spool.path)
    spool.close()
    assert left(tmp_path, "sqlite /b") == []
    assert f"{name}: results wait there for a start with another database" in caplog.text
    assert left(tmp_path, "sqlite /a") == [result()]


def test_it_goes_when_all_is_durable_and_a_new_one_comes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "one")
    for number in (1, 2):
        spool.append([result(number)])
        assert len(files(tmp_path)) == 1
        if number == 1:
            spool.remove()
            assert files(tmp_path) == []
    spool.close()
    assert left(tmp_path) == [result(2)]


GOOD = written_line(result(1), "one")


@pytest.mark.parametrize(
    ("spoilt", "said", "set_aside"),
    [
        (GOOD[: len(GOOD) // 2], "line 2 is passed over: it was cut off while it was written", False),
        (GOOD[:-1].replace(b"run 1", b"run 7"), "it was cut off", False),
        (GOOD.replace(b"run 1", b"run 7"), "line 2 is passed over: it cannot be read: its sum", True),
        (GOOD.replace(b'"version":1', b'"version":2'), "it is of version 2", True),
        (b"{}\n", "line 2 is passed over", True),
        (b"\xff\xfe\n", "line 2 is passed over", True),
        (b"\n", "line 2 is passed over", True),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoilt: bytes, said: str, set_aside: bool
) -> None:
    spool = Spool(tmp_path, "one")
    spool.append([result(2)])
    path = spool.path
    assert path is not None
    spool.close()
    with path.open("ab") as file:
        file.write(spoilt)
        if spoilt.endswith(b"\n"):
            file.write(written_line(result(3), "one"))
    (found,) = Spool(tmp_path, "one").left()
    assert found.results == [result(2)] + [result(3)] * spoilt.endswith(b"\n")
    assert said in caplog.text
    assert str(path) in caplog.text
    # and once the others are durable, it is there for a person where it may hold more
    found.remove()
    assert files(tmp_path) == [path.with_suffix(".unreadable").name] * set_aside


def test_a_line_says_what_it_is() -> None:
    line = msgspec.json.decode(GOOD)
    assert list(line) == ["version", "sum", "database", "result"]
    assert (line["version"], line["database"], line["result"]["run_id"]) == (1, "one", "run 1")
    assert read_line(GOOD) == result(1)


def test_what_could_not_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, "one")
    spool.append([result(1)])
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", no_room)
        return write(descriptor, data[: len(data) // 2])

    def no_room(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        spool.append([result(2)])
    monkeypatch.undo()
    spool.append([result(3)])
    spool.close()
    assert left(tmp_path) == [result(1), result(3)]


def test_it_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []  # inode by inode, and how large a file was by then
    sync = os.fsync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        synced.extend((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", noted)
    spool = Spool(tmp_path, "one")
    for number in 1, 2:
        synced.clear()
        spool.append([result(number)])
        assert spool.path is not None
        file = spool.path.stat()
        assert synced[-2:] == [file.st_ino, file.st_size]
        # that there is such a file as well, when it is new
        assert (tmp_path.stat().st_ino in synced[::2]) == (number == 1)
    spool.close()
