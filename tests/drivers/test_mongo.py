"""The driver of MongoDB, on servers that speak its protocol: what is its own. None of them is MongoDB itself."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from missing import require
from msgspec.structs import replace
from servers.certificates import Certificates, certificates
from servers.mongo import FerretService, MongoService, SecantusService

from kala.drivers import mongo_commit, mongo_database, mongo_history
from kala.drivers.contract import Conflict, RunQuery, Stored
from kala.drivers.mongo import MongoDriver
from kala.drivers.mongo_address import checked_address, client_of, database_of
from kala.drivers.server import Server, Tls
from kala.errors import SettingsError, StoreRefused, StoreUnavailable
from kala.job import Output

from .conformance.database import done, drop, kept, printed, put, ran

Started = Callable[[str], MongoService]


@pytest.fixture(params=["ferretdb", "secantusdb"])
def service(request: pytest.FixtureRequest, started: Started) -> MongoService:
    return started(request.param)


@pytest.fixture
def secantus(started: Started) -> MongoService:
    return started("secantusdb")


@pytest.fixture
def connect() -> Iterator[Callable[[Server], MongoDriver]]:
    opened: list[MongoDriver] = []

    def get(server: Server) -> MongoDriver:
        driver = MongoDriver(server)
        driver.open()
        opened.append(driver)
        return driver

    yield get
    for driver in opened:
        driver.close()


Connect = Callable[[Server], MongoDriver]


# Addresses.


@pytest.mark.parametrize(
    ("given", "place", "database"),
    [
        ("", "127.0.0.1:27017/kala", "kala"),
        ("a,b:2", "a:27017,b:2/kala", "kala"),
        ("a/other", "a:27017/other", "other"),
        ("mongodb://me:hush@a:1,b/other?replicaSet=rs", "a:1,b:27017/other", "other"),
        ("mongodb://[::1]/", "[::1]:27017/kala", "kala"),
        ("mongodb+srv://db.example/other", "db.example:27017/other", "other"),
    ],
)
def test_addresses(given: str, place: str, database: str) -> None:
    assert MongoDriver(Server(given)).place == place
    assert database_of(checked_address(Server(given))) == database


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server("http://a"), "--jobdb-address: it begins with http://"),
        (Server("a?colour=red"), "--jobdb-address: Unknown option: colour"),
        (Server("a?tls=perhaps"), "--jobdb-address: "),
        (Server("a?socketTimeoutMS=99999"), "--jobdb-address: sockettimeoutms cannot be given"),
        (Server("a/b.c"), "--jobdb-address: 'b.c' cannot be the name of a database"),
        (Server("mongodb+srv://a:5"), "--jobdb-address: mongodb+srv:// takes one name"),
        (Server("mongodb+srv://a,b"), "--jobdb-address: mongodb+srv:// takes one name"),
        (Server("a", password="hush"), "--jobdb-password goes with --jobdb-username"),
        (Server("a", tls=Tls(name="db")), "--jobdb-tls-servername: MongoDB's client holds"),
        (Server("a", tls=Tls(ca="/missing")), "--jobdb-tls-capath: /missing cannot be used"),
    ],
)
def test_what_cannot_be_used_is_named(server: Server, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        MongoDriver(server)
    assert str(caught.value).startswith(said)
    assert "hush" not in str(caught.value)


def test_what_the_client_is_made_of() -> None:
    """Options are handed on, and the settings come before them."""
    address = checked_address(Server("mongodb://me:mine@a:1/base?replicaSet=rs&retryWrites=true", "you", "yours"))
    with client_of(address, Tls()) as client:
        assert (client.options.replica_set_name, client.options.retry_writes) == ("rs", False)
        credentials = client.options.pool_options._credentials  # there is no other way to see them
        assert (credentials.username, credentials.password, credentials.source) == ("you", "yours", "base")
    for given, source in (("a", "admin"), ("a/base", "base"), ("a/base?authSource=here", "here")):
        with client_of(checked_address(Server(given, "you", "yours")), Tls()) as client:
            assert client.options.pool_options._credentials.source == source


def test_a_set_is_found_by_one_of_its_servers(secantus: MongoService, connect: Connect) -> None:
    server = secantus.fresh()
    driver = connect(replace(server, address=server.address.partition("?")[0] + "?replicaSet=secantus"))
    done(driver.commit([put("a", 1)]))
    assert driver.server.startswith("MongoDB ")
    assert "(SecantusDB" in driver.server


# What a person must mend.


def test_credentials_and_rights(secantus: MongoService) -> None:
    server = secantus.fresh()
    for given, said in [
        (replace(server, password="wrong one"), "it does not know this user or password: --jobdb-username"),
        (replace(server, username="nobody"), "it does not know this user or password: --jobdb-username"),
        (replace(server, username="", password=""), "it wants a user: give --jobdb-username"),
    ]:
        with pytest.raises(StoreRefused) as caught:
            MongoDriver(given).open()
        assert said in str(caught.value)
        assert "wrong one" not in str(caught.value)

    another = replace(server, address=server.address.replace("?", f"_not_mine?authSource={server.username}&"))
    with pytest.raises(StoreRefused, match=r'grantRolesToUser.*role: "readWrite", db: "kala_test_.*_not_mine"'):
        MongoDriver(another).open()


def test_a_newer_schema_and_a_database_without_its_description(service: MongoService, connect: Connect) -> None:
    server = service.fresh()
    done(connect(server).commit([put("a", 1)]))
    name = database_of(checked_address(server))
    with service.client() as client:
        client[name].kala_meta.update_one({"_id": "kala"}, {"$set": {"schema": 9}})
        with pytest.raises(StoreRefused, match="its schema is version 9, and this program knows versions up to 1"):
            MongoDriver(server).open()
        client[name].kala_meta.drop()
        with pytest.raises(StoreRefused, match="kala_meta does not say of which version"):
            MongoDriver(server).open()


def test_other_collections_are_left_alone(service: MongoService, connect: Connect) -> None:
    server = service.fresh()
    with service.client() as client:
        jobs = client[database_of(checked_address(server))].jobs
        jobs.insert_one({"_id": "the original's"})
        done(connect(server).commit([put("a", 1)]))
        assert [each["_id"] for each in jobs.find()] == ["the original's"]


def test_an_emptied_database_is_refused(service: MongoService, connect: Connect) -> None:
    server = service.fresh()
    driver, other = connect(server), connect(server)
    done(driver.commit([put("a", 1)]))
    service.wipe(server)
    for call in (lambda: driver.commit([put("a", 2)]), lambda: driver.changes("")):
        with pytest.raises(StoreRefused, match="emptied or replaced"):
            call()
    other.open()
    with pytest.raises(StoreRefused, match="emptied or replaced"):
        driver.commit([put("b", 1)])
    assert list(other.load("job")) == []


def test_turns_are_warned_of(service: MongoService, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        connect(service.fresh())
    warned = [each.message for each in caplog.records if "daemons take turns" in each.message]
    assert len(warned) == (service.title == "FerretDB")


# What others have left.


def test_records_that_a_hand_has_spoilt(
    service: MongoService, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server = service.fresh()
    driver = connect(server)
    token = driver.changes("").token
    done(driver.commit([put("good", 1, runs=[ran(1)]), put("bad", 1), put("worse", 1, runs=[ran(2)])]))
    with service.client() as client:
        database = client[database_of(checked_address(server))]
        database.kala_records.update_one({"_id": "job:bad"}, {"$set": {"value": 5}})
        database.kala_records.update_one({"_id": "job:worse"}, {"$set": {"revision": "x"}})
        database.kala_history.update_one({"_id": "run-2"}, {"$set": {"run": "{"}})
        assert [each.key for each in driver.load("job")] == ["good"]
        assert [each.key for each in driver.changes(token).stored] == ["good"]
        assert driver.get("job", "bad") is None
        assert driver.run("run-2") is None
        assert driver.runs(RunQuery()).runs == [ran(1)]
        assert driver.commit([put("bad", 2)]) == [Conflict(None)] or driver.get("job", "bad") is not None
        assert database.kala_records.count_documents({}) == 3
    assert "record 'job:worse' cannot be read and is left alone" in caplog.text


@pytest.mark.parametrize("large", [False, True], ids=["with the record", "apart"])
def test_a_writer_that_died_after_its_write(
    large: bool, service: MongoService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its history is in the record alone: whoever is given the record finds it copied."""
    server = service.fresh()
    driver, reader = connect(server), connect(server)
    output = printed("run-1", data=b"x" * (mongo_commit.AT_ONCE * 10 if large else 10))
    gone = put("gone", 1)
    done(driver.commit([gone]))
    token = reader.changes("").token
    with monkeypatch.context() as dying:
        dying.setattr(mongo_commit, "append", _die)
        for element in put("a", 1, runs=[ran(1)], outputs=[output]), drop("gone", 1, runs=[ran(2)]):
            with pytest.raises(StoreUnavailable):
                driver.commit([element])
    assert reader.run("run-1") is None

    assert reader.get("job", "a") == Stored("job", "a", 1, b"{}")
    assert (reader.run("run-1"), reader.output("run-1")) == (ran(1), [output])
    assert reader.run("run-2") is None
    # It is in flight until it has expired: a listener is told of it again and again, and goes no further.
    done(reader.commit([put("a", 2, runs=[ran(3)])]))
    told = reader.changes(token)
    assert ("job", "gone") in told.deleted
    assert reader.run("run-2") == ran(2)
    assert told.token == token
    assert reader.changes(token).stored == [Stored("job", "a", 2, b"{}")]

    monkeypatch.setattr(mongo_database, "EXPIRY", -1.0)
    reader.trim_outputs(1_000_000)
    assert reader.changes(token).token != token
    with service.client() as client:
        database = client[database_of(checked_address(server))]
        assert database.kala_apart.count_documents({}) == 0
        assert (database.kala_meta.find_one({"_id": "kala"}) or {})["flying"] == {}
    assert kept(reader) != []
    assert sorted(kept(reader)) == ["run-1", "run-2", "run-3"]


def _die(*_: object) -> None:
    raise StoreUnavailable("as if this process had ended")


def test_what_was_written_apart_for_a_write_that_never_came(
    service: MongoService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = service.fresh()
    driver = connect(server)
    large = put("a", 1, runs=[ran(1)], outputs=[Output("run-1", number, b"x" * 100_000, 5) for number in (1, 2)])
    with monkeypatch.context() as dying:
        dying.setattr(mongo_commit, "_write", _die)
        with pytest.raises(StoreUnavailable):
            driver.commit([large])
    assert driver.get("job", "a") is None
    assert driver.output("run-1") == []
    with service.client() as client:
        apart = client[database_of(checked_address(server))].kala_apart
        assert apart.count_documents({}) == 1
        # One that conflicts leaves nothing either.
        done(driver.commit([put("b", 1, b"other")]))
        assert driver.commit([replace(large, key="b")]) == [Conflict(Stored("job", "b", 1, b"other"))]
        assert apart.count_documents({}) == 1
        monkeypatch.setattr(mongo_database, "EXPIRY", -1.0)
        driver.prune(None, keep=1, older_than=None)
        assert apart.count_documents({}) == 0
    done(driver.commit([large]))
    assert driver.output("run-1") == list(large.outputs)


def test_a_write_is_found_to_have_won_though_others_wrote_since(
    secantus: MongoService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the batch conflicts, so that all are looked up; before that another daemon goes on from what was won."""
    server = secantus.fresh()
    driver, other = connect(server), connect(server)
    done(driver.commit([put("a", 1), put("b", 1)]))
    looking_up = mongo_commit._outcomes

    def late(*given: object) -> object:
        monkeypatch.setattr(mongo_commit, "_outcomes", looking_up)
        for revision in range(3, 8):
            done(other.commit([put("a", revision, runs=[ran(revision)])]))
        return looking_up(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(mongo_commit, "_outcomes", late)
    answers = driver.commit([put("a", 2, runs=[ran(2)]), put("b", 9, expected=8, runs=[ran(9)])])
    assert answers == [None, Conflict(Stored("job", "b", 1, b"{}"))]
    assert sorted(kept(driver)) == [f"run-{number}" for number in range(2, 8)]


def test_a_turn_that_its_owner_left(service: MongoService, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Housekeeping waits for it, and takes it when it has been there for long."""
    server = service.fresh()
    driver = connect(server)
    done(driver.commit([put("a", 1, runs=[ran(1)])]))
    with service.client() as client:
        meta = client[database_of(checked_address(server))].kala_meta
        meta.insert_one({"_id": "turn:tidy" if service.title == "SecantusDB" else "turn", "mark": "a dead one's"})
        monkeypatch.setattr(mongo_database, "LOCK_WAIT", 0.1)
        with pytest.raises(StoreUnavailable, match="another daemon has had its turn"):
            driver.forget(["job-a"])
        monkeypatch.setattr(mongo_database, "EXPIRY", 0.05)
        assert driver.forget(["job-a"]) == 1
        assert meta.count_documents({}) == 1


def test_deletions_are_forgotten_in_the_end(
    service: MongoService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_history, "KEPT_DELETIONS", 3)
    driver = connect(service.fresh())
    tokens = []
    for number in range(6):
        done(driver.commit([put(f"k{number}", 1)]))
        done(driver.commit([drop(f"k{number}", 1)]))
        tokens.append(driver.changes("").token)
    driver.prune(None, keep=1, older_than=None)
    assert [driver.changes(token).reset for token in tokens] == [True, True, False, False, False, False]
    assert sorted(driver.changes(tokens[2]).deleted) == [("job", f"k{number}") for number in (3, 4, 5)]
    done(driver.commit([put("k0", 1), put("k5", 1)]))


def test_pruning_looks_at_few_rows_at_once(
    service: MongoService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, few in (("REMOVED_AT_ONCE", 2), ("JOBS_AT_ONCE", 2), ("LOOKED_AT", 4)):
        monkeypatch.setattr(mongo_history, name, few)
    driver = connect(service.fresh())
    rows = [ran(number, f"job-{number % 3}") for number in range(18)]
    done(driver.commit([put("a", 1, runs=rows, outputs=[printed(run.id) for run in rows])]))
    assert driver.prune([f"job-{number}" for number in range(4)], keep=2, older_than=None) == 12
    assert kept(driver) == [f"run-{number}" for number in range(17, 11, -1)]
    assert driver.trim_outputs(6 * 6) == 0
    assert driver.trim_outputs(6 * 3) == 18
    assert driver.forget([f"job-{number}" for number in range(3)]) == 6


# TLS.


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=[FerretService, SecantusService])
def secure(request: pytest.FixtureRequest, files: Certificates, tmp_path: Path) -> Iterator[MongoService]:
    """One that wants a certificate of its clients."""
    require(request.param)
    made: MongoService = request.param(tmp_path / "server")
    made.tls = Tls(files.ca, files.client, files.client_key)
    made.options = (
        [f"--listen-tls-{name}-file={file}" for name, file in _named(files)]
        if request.param is FerretService
        else [f"--tls-{name}-file={file}" for name, file in _named(files)] + ["--tls-require-client-cert"]
    )
    try:
        yield made.start()
    finally:
        made.kill()


def _named(files: Certificates) -> list[tuple[str, str]]:
    return [("ca", files.ca), ("cert", files.server), ("key", files.server_key)]


def test_tls(secure: MongoService, files: Certificates, tmp_path: Path, connect: Connect) -> None:
    server = secure.fresh()
    before = set(Path("/tmp").glob("kala-*.pem"))
    done(connect(server).commit([put("a", 1)]))
    both = tmp_path / "both.pem"
    both.write_text(Path(files.client).read_text() + Path(files.client_key).read_text())
    assert list(connect(replace(server, tls=Tls(files.ca, str(both)))).load("job")) == [Stored("job", "a", 1, b"{}")]
    assert set(Path("/tmp").glob("kala-*.pem")) <= before

    elsewhere = replace(server, address=server.address.replace("127.0.0.1", "127.1"))  # the same by another name
    for given, said in [
        (replace(server, tls=replace(server.tls, ca=files.other_ca)), "its certificate is not the one expected"),
        (elsewhere, "its certificate is not the one expected"),
        (replace(server, tls=Tls(files.ca)), "it wants a certificate: --jobdb-tls-certpath"),
        (replace(server, tls=Tls()), "it does not answer"),
    ]:
        with pytest.raises((StoreRefused, StoreUnavailable)) as caught:
            MongoDriver(given).open()
        assert said in str(caught.value)
