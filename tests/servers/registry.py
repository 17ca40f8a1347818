"""Every server that tests can start, by the name that people give it at a prompt."""

from .consul import ConsulService
from .mariadb import MariadbService
from .mongo import FerretService, SecantusService
from .postgres import PostgresService
from .redis import RedisService
from .service import Service

SERVICES: dict[str, type[Service]] = {
    "postgres": PostgresService,
    "mariadb": MariadbService,
    "redis": RedisService,
    "ferretdb": FerretService,
    "secantusdb": SecantusService,
    "consul": ConsulService,
}
