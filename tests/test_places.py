"""What names a database in a command."""

from pathlib import Path

import pytest

from kala import drivers, places
from kala.drivers.server import Server, Tls
from kala.drivers.sqlite import SqliteDriver
from kala.errors import SettingsError
from kala.places import driver_of, shows_password

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("folder", "folder/kala.db"),
        ("folder/", "folder/kala.db"),
        ("new", "new/kala.db"),
        ("new/", "new/kala.db"),
        ("new.db", "new.db"),
        ("folder/other", "folder/other"),
        ("sqlite:folder", "folder/kala.db"),
        ("sqlite:new.toml", "new.toml"),
        ("SQLite:new.db", "new.db"),
        ("sqlite://new.db", "new.db"),
        ("sqlite:///absolute/x.db", "/absolute/x.db"),
    ],
)
def test_files(text: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "other").touch()
    driver = driver_of(text)
    assert isinstance(driver, SqliteDriver)
    assert driver.path == tmp_path / file
    assert not (tmp_path / "new").exists()


class Made:
    """Stands for every driver of a server: it keeps what it was made of."""

    def __init__(self, engine: str, server: Server) -> None:
        self.engine, self.server = engine, server


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    def driver_class(engine: str) -> object:
        return lambda server: Made(engine, server)

    monkeypatch.setattr(places, "driver_class", driver_class)
    monkeypatch.setattr("kala.parts.driver_class", driver_class)


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("postgresql://kala@db/kala?sslmode=verify-full", "postgres"),
        ("postgres://db", "postgres"),
        ("mysql://db", "mysql"),
        ("MariaDB://db/kala", "mariadb"),
        ("redis://db:6379/3", "redis"),
        ("rediss://db", "redis"),
        ("unix:///run/redis.sock?db=1", "redis"),
        ("mongodb://a,b,c/kala", "mongo"),
        ("mongodb+srv://db", "mongo"),
        ("consul://db:8500/jobs", "consul"),
    ],
)
def test_urls(made: None, url: str, engine: str) -> None:
    driver = driver_of(url, "secret")
    assert isinstance(driver, Made)
    assert (driver.engine, driver.server) == (engine, Server(url, password="secret"))
    assert engine in drivers.ENGINES


@pytest.mark.parametrize("password", ["", "secret"])
def test_a_daemon_s_settings(made: None, password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALA_JOBDB_ADDRESS", "of a daemon that is started here")
    file = tmp_path / "kala.toml"
    file.write_text(
        'port = 1\njobdb = "postgres"\njobdb-address = "db/kala"\njobdb-username = "kala"\njobdb-password = "written"\n'
        'jobdb-tls-capath = "ca.pem"\n'
    )
    driver = driver_of(str(file), password)
    assert isinstance(driver, Made)
    assert driver.engine == "postgres"
    assert driver.server == Server("db/kala", "kala", password or "written", Tls(ca="ca.pem"))


def test_settings_of_an_embedded_database(tmp_path: Path) -> None:
    file = tmp_path / "kala.json"
    file.write_text('{"bolt-path": "/var/lib/kala"}')
    driver = driver_of(str(file))
    assert isinstance(driver, SqliteDriver)
    assert driver.path == Path("/var/lib/kala/kala.db")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://db:8500", "a database's URL begins with postgresql://, .* or sqlite:, and not with http://"),
        ("oracle://db", "and not with oracle://"),
        ("missing.toml", "missing.toml cannot be read"),
        ("memory.json", r"memory.json: a daemon with these settings \(no-persist\) has no database"),
    ],
)
def test_what_names_none(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("memory.json").write_text('{"no-persist": true}')
    with pytest.raises(SettingsError, match=said):
        driver_of(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://kala:secret@db/kala", True),
        ("redis://:secret@db", True),
        ("mongodb://u:p@a:1,b:2/kala", True),
        ("postgresql://kala@db:5432/kala", False),
        ("redis://db:6379/a:b@c", False),
        ("sqlite:a:b@c", False),
        ("a:b@c", False),
    ],
)
def test_passwords_that_others_see(text: str, shown: bool) -> None:
    assert shows_password(text) is shown
