"""Which instances live, as far as the database, and this host, can tell."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import trio
from weather import Weather
from world import NO_PROCESS, START

from kala import lease as module
from kala.clock import DAY, SECOND
from kala.drivers.contract import Element
from kala.drivers.memory import MemoryDriver
from kala.drivers.sqlite import SqliteDriver
from kala.errors import StoreRefused, StoreUnavailable
from kala.job import replace
from kala.lease import KIND, TTL, Instance, Lease, boot, pid_namespace, process_start

HOLDER = """
import sys, time
from kala.drivers.sqlite import SqliteDriver
from kala.lease import Lease
driver = SqliteDriver(sys.argv[1])
driver.open()
lease = Lease(driver, "holder")
lease.take(shared=True)
lease.start()
print(lease.id, flush=True)
time.sleep(600)
"""


class Hands:
    """The hands of a database's clock."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def driver(hands: Hands) -> MemoryDriver:
    return MemoryDriver(hands)


def elsewhere(lease: Lease) -> Lease:
    """As if its daemon were on another host."""
    lease.instance = replace(lease.instance, host="elsewhere", boot="another")
    return lease


def written(driver: MemoryDriver, lease: Lease) -> Instance:
    stored = driver.get(KIND, lease.id)
    assert stored is not None
    return msgspec.json.decode(stored.value, type=Instance)


def test_a_lease_elsewhere_runs_out_by_the_database_s_clock_and_ends_for_good(
    driver: MemoryDriver, hands: Hands
) -> None:
    here, there = Lease(driver, "here"), elsewhere(Lease(driver, "there"))
    there.take(shared=True)
    here.take(shared=True)
    assert here.bury() == (frozenset({here.id, there.id}), [])
    hands.now += round(TTL * SECOND) - 1
    assert there.id in here.bury()[0]
    hands.now += 1
    alive, dead = here.bury()
    assert (alive, [one.id for one in dead]) == ({here.id}, [there.id])
    assert written(driver, there).ended
    # what is ended is found once
    assert here.bury() == (frozenset({here.id}), [])


def test_a_renewed_lease_goes_on(driver: MemoryDriver, hands: Hands) -> None:
    here, there = Lease(driver, "here"), elsewhere(Lease(driver, "there"))
    there.take(shared=True)
    for _ in range(5):
        hands.now += round(TTL * SECOND * 0.9)
        there.renew()
        assert there.id in here.bury()[0]
    assert written(driver, there).until == hands.now + round(TTL * SECOND)
    assert written(driver, there).started == START


def test_who_renews_while_it_is_buried_lives(hands: Hands) -> None:
    driver = Weather(MemoryDriver(hands))
    here, there = Lease(driver, "here"), elsewhere(Lease(driver, "there"))
    there.take(shared=True)
    hands.now += round(TTL * SECOND) + 1
    commit = driver.commit

    def slower(batch: list[Element]) -> object:
        driver.commit = commit  # type: ignore[method-assign]
        there.renew()
        return commit(batch)

    driver.commit = slower  # type: ignore[assignment,method-assign]
    alive, dead = here.bury()
    assert (there.id in alive, dead) == (True, [])
    assert there.valid()


def test_one_taken_for_dead_goes_on_as_another(
    driver: MemoryDriver, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = Lease(driver, "here"), elsewhere(Lease(driver, "there"))
    there.take(shared=True)
    before = there.id
    hands.now += round(TTL * SECOND) + 1
    here.bury()
    there.renew()
    assert there.id != before
    assert there.valid()
    assert f"instance {before} was taken for dead" in caplog.text
    assert here.bury()[0] == {here.id, there.id}
    stored = driver.get(KIND, before)
    assert stored is not None
    assert msgspec.json.decode(stored.value, type=Instance).ended


def test_a_restarted_host_and_a_gone_process_are_seen_at_once(driver: MemoryDriver) -> None:
    here = Lease(driver, "here")
    dead = {
        "gone": {"pid": NO_PROCESS},
        "another process with its pid": {"pid_start": (process_start(here.instance.pid) or 0) + 1},
        "before the restart": {"boot": "another"},
    }
    living = {
        "beside us": {},
        "in another container": {"namespace": "pid:[1]", "pid": NO_PROCESS},
        "elsewhere": {"host": "elsewhere", "pid": NO_PROCESS},
        "where nothing can be known": {"boot": "", "namespace": "", "pid": NO_PROCESS},
    }
    now = here._driver.now()
    for expected, cases in ((False, dead), (True, living)):
        for name, members in cases.items():
            instance = replace(here.instance, until=now + 1, **members)
            assert instance.lives(now) is expected, name
    assert not replace(here.instance, until=now + 1, ended=True).lives(now)


NO_DESCRIPTORS = """
import os, resource
from kala.drivers.memory import MemoryDriver
from kala.lease import Instance, Lease, boot, process_start
from kala.processes.leftovers import leftovers

here = Lease(MemoryDriver(), "here")
beside = Lease(here._driver, "beside us")
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
try:
    os.open("/dev/null", os.O_RDONLY)
    raise SystemExit("a descriptor is left")
except OSError:
    pass
print(beside.instance.lives(here._driver.now()), here._fresh().pid_start == here.instance.pid_start > 0)
try:
    print(leftovers(["run-1"]))
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc")
def test_without_a_descriptor_nobody_is_taken_for_dead() -> None:
    done = subprocess.run([sys.executable, "-c", NO_DESCRIPTORS], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True True\nToo many open files\n", done.stderr


def test_records_of_the_long_dead_go_and_unreadable_ones_stay(
    driver: MemoryDriver, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    driver.commit([Element(KIND, "broken", 0, 1, b"{")])
    here, there = Lease(driver, "here"), Lease(driver, "there")
    there.take(shared=True)
    there.give_back()
    assert not there.valid()
    here.take(shared=True)
    hands.now += DAY
    here.bury()
    assert driver.get(KIND, there.id) is not None
    hands.now += round(TTL * SECOND) + 1
    here.renew()
    assert here.bury() == (frozenset({here.id}), [])
    assert driver.get(KIND, there.id) is None
    assert driver.get(KIND, "broken") is not None
    assert "instance broken cannot be read" in caplog.text


def test_the_database_is_one_daemon_s_unless_it_is_shared(driver: MemoryDriver) -> None:
    first, second = Lease(driver, "first"), Lease(driver, "second")
    first.take(shared=False)
    with pytest.raises(StoreRefused, match=r"another daemon works on this database: first \(pid \d+ on .*--shared"):
        second.take(shared=False)
    assert not second.valid()
    # the refused one has left nothing behind, and the first goes on
    assert first.bury() == (frozenset({first.id}), [])
    Lease(driver, "third").take(shared=True)
    first.give_back()


def test_one_that_cannot_be_seen_is_given_the_time_of_a_lease(
    driver: MemoryDriver, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: setattr(hands, "now", hands.now + round(seconds * 1e6)))
    silent = elsewhere(Lease(driver, "silent"))
    silent.take(shared=True)
    Lease(driver, "here").take(shared=False)
    assert START + TTL * SECOND <= hands.now <= START + 2 * TTL * SECOND


def test_one_that_shows_that_it_lives_is_not_passed_over(
    driver: MemoryDriver, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = elsewhere(Lease(driver, "there"))
    there.take(shared=True)

    def sleep(seconds: float) -> None:
        hands.now += round(seconds * 1e6)
        if hands.now > START + 5 * SECOND:
            there.renew()

    monkeypatch.setattr(module.time, "sleep", sleep)
    with pytest.raises(StoreRefused, match="there"):
        Lease(driver, "here").take(shared=False)
    assert hands.now < START + TTL * SECOND


def test_it_is_valid_by_the_monotonic_clock_and_renewed_beside_a_busy_loop(
    driver: MemoryDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TTL", 3.0)
    lease = Lease(driver, "here")
    lease.take(shared=True)
    lease.start()
    try:
        end = time.monotonic() + 4.5
        while time.monotonic() < end:  # busy, and never giving way
            pass
        assert lease.valid()
    finally:
        lease.give_back()
    assert not lease.valid()
    assert written(driver, lease).ended


def test_a_renewal_whose_answer_was_lost_is_ours(hands: Hands) -> None:
    driver = Weather(MemoryDriver(hands))
    for times in (1, 3):
        lease = Lease(driver, "here")
        driver.away = "after"
        for _ in range(times):
            with pytest.raises(StoreUnavailable):
                lease._write(replace(lease.instance, until=hands.now))  # whose first answer may be lost, too
            hands.now += SECOND
        driver.away = ""
        lease.take(shared=True)
        before = lease.id
        driver.away = "after"
        for _ in range(times):
            with pytest.raises(StoreUnavailable):
                lease.renew()
            hands.now += SECOND
        driver.away = ""
        lease.renew()
        assert lease.id == before
        assert lease.valid()
        lease.give_back()
        assert written(driver.inner, lease).ended  # type: ignore[arg-type]


def test_after_an_outage_others_have_the_time_of_a_lease_to_show_that_they_live(hands: Hands) -> None:
    """Given two daemons on two hosts, and a database that was away for longer than a lease lasts."""
    weather = Weather(MemoryDriver(hands))
    here, there, silent = (
        Lease(weather, "here"),
        elsewhere(Lease(weather, "there")),
        elsewhere(Lease(weather, "silent")),
    )
    for one in (there, silent, here):
        one.take(shared=True)
    weather.away = "before"
    hands.now += round(100 * SECOND)
    for one in (there, here):
        with pytest.raises(StoreUnavailable):
            one.renew()
    weather.away = ""
    # when one is back first, it does not take the other for dead
    here.renew()
    assert here.bury() == (frozenset({here.id, there.id, silent.id}), [])
    hands.now += round(TTL * SECOND) - 1
    there.renew()
    assert here.bury()[1] == []
    # and who has not shown itself by then is
    hands.now += 1
    alive, dead = here.bury()
    assert (alive, [one.id for one in dead]) == ({here.id, there.id}, [silent.id])


def test_while_the_database_is_away_it_runs_out_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "TTL", 0.3)
    driver = Weather()
    lease = Lease(driver, "here")
    lease.take(shared=True)
    lease.start()
    driver.away = "before"

    async def until(condition: Callable[[], bool]) -> None:
        with trio.fail_after(10):
            while not condition():  # noqa: ASYNC110 - it happens in another thread
                await trio.sleep(0.01)

    try:
        trio.run(until, lambda: not lease.valid() and lease.fault is not None)
        assert str(lease.fault) == "a storm"
        before = lease.id
        driver.away = ""
        trio.run(lease.wait_valid)
        assert lease.id == before
        assert lease.fault is None
        assert caplog.text == ""  # the store tells of it
    finally:
        lease.give_back()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, str]]:
    """A real process that holds a lease on a real file; the file; the instance's id."""
    path = tmp_path / "kala.db"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, path, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_killed_process_is_seen_to_be_dead_at_once(holder: tuple[subprocess.Popen[str], Path, str]) -> None:
    process, path, its_id = holder
    driver = SqliteDriver(path)
    driver.open()
    here = Lease(driver, "here")
    with pytest.raises(StoreRefused, match=f"holder .pid {process.pid}"):
        here.take(shared=False)
    here = Lease(driver, "here")
    here.take(shared=True)
    assert here.bury()[0] == {here.id, its_id}
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    began = time.monotonic()
    alive, dead = here.bury()
    assert (alive, [one.id for one in dead]) == ({here.id}, [its_id])
    here.give_back()
    Lease(driver, "next").take(shared=False)  # a supervisor's restart does not wait
    assert time.monotonic() - began < TTL * 0.9
    driver.close()


def test_what_can_be_known_here() -> None:
    assert boot()
    assert pid_namespace().startswith("pid:[")
    assert process_start(NO_PROCESS) is None
