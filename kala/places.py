"""A database as it is named in a command: a URL, a path, or the settings file of a daemon."""

import re
from dataclasses import replace
from pathlib import Path

from kala import config
from kala.drivers import driver_class
from kala.drivers.contract import Driver
from kala.drivers.server import Server
from kala.drivers.sqlite import SqliteDriver
from kala.errors import SettingsError, StoreRefused
from kala.parts import new_driver

FILE = "kala.db"  # in a folder, as a daemon has it
SCHEMES = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "mongodb": "mongo",
    "mongodb+srv": "mongo",
    "consul": "consul",
}
"""What a URL may begin with, and the engine that is meant. Embedded databases are `sqlite:PATH`, or a path."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*:[^/?]+@")


def driver_of(place: str, password: str = "") -> Driver:
    """The driver of a database, not open yet. `password` comes before what the URL or the file says.

    Raises `SettingsError`.
    """
    if place[:7].lower() == "sqlite:":
        return SqliteDriver(_file(place[7:].removeprefix("//")))
    if (scheme := _SCHEME.match(place)) is not None:
        engine = SCHEMES.get(scheme[1].lower())
        if engine is None:
            known = ", ".join(f"{one}://" for one in SCHEMES)
            raise SettingsError(f"a database's URL begins with {known} or sqlite:, and not with {scheme[0]}")
        return driver_class(engine)(Server(place, password=password))  # type: ignore[call-arg]
    if Path(place).suffix not in config.SUFFIXES:
        return SqliteDriver(_file(place))
    settings = config.load({}, file=place, environ={})
    if settings.no_persist:
        raise SettingsError(f"{place}: a daemon with these settings (no-persist) has no database")
    return new_driver(replace(settings, jobdb_password=password) if password else settings)


def refuse_missing(driver: Driver) -> None:
    """Raise `StoreRefused` for an embedded database that is not there: `open` would make it."""
    if isinstance(driver, SqliteDriver) and not driver.path.exists():
        raise StoreRefused(f"{driver.path}: there is no such file")


def shows_password(place: str) -> bool:
    """Whether a password stands in a URL."""
    return _PASSWORD.match(place) is not None


def _file(text: str) -> Path:
    """The file that is meant: one in the folder, when it is that of a folder, or has no suffix and is not there."""
    path = Path(text)
    return path / FILE if path.is_dir() or not (path.suffix or path.exists()) else path
