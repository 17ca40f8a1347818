"""One module per database, each a synchronous client behind the contract of `contract.py`.

A driver's module is imported when its engine is asked for, so that a client library is needed by its users alone.
"""

from importlib import import_module

from kala.drivers.contract import Driver
from kala.errors import SettingsError

ENGINES = {
    "memory": ("memory", "MemoryDriver"),
    "sqlite": ("sqlite", "SqliteDriver"),
    "postgres": ("postgres", "PostgresDriver"),
    "mariadb": ("mysql", "MysqlDriver"),
    "mysql": ("mysql", "MysqlDriver"),
    "redis": ("redis", "RedisDriver"),
    "mongo": ("mongo", "MongoDriver"),
    "consul": ("consul", "ConsulDriver"),
}
"""What `--jobdb` calls an engine, and the module and class that serve it. One that needs a server is made from what
`server.Server` says of it, the embedded one from the path of its file."""


def driver_class(engine: str) -> type[Driver]:
    """The driver of an engine. `SettingsError` when there is none, or when its client library is not installed."""
    if engine not in ENGINES:
        raise SettingsError(f"there is no database {engine!r}: choose one of {', '.join(sorted(ENGINES))}")
    module, name = ENGINES[engine]
    try:
        found = getattr(import_module(f"kala.drivers.{module}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("kala"):
            raise
        raise SettingsError(
            f"the database {engine!r} needs the package {error.name!r}: pip install 'kala[{module}]'"
        ) from error
    driver: type[Driver] = found
    return driver
