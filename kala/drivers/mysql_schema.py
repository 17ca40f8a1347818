"""The tables of `mysql.py`, and what its server says of itself.

A change of tables ends a transaction, and several daemons may open a new database at once: each statement of
`MIGRATIONS` is harmless when it is repeated.
"""

import logging
import re
import secrets

import pymysql
from msgspec import Struct

from kala.drivers.mysql_address import Way
from kala.drivers.mysql_faults import NO_TABLE, READ_ONLY, code_of
from kala.drivers.mysql_link import Session
from kala.drivers.mysql_rows import literal
from kala.errors import StoreRefused

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # `changes` holds the number of the latest commit, and the id of the database; the other rows hold numbers.
        """create table if not exists kala_meta (name varbinary(64) not null primary key, number bigint not null,
           text varbinary(64) not null) engine = InnoDB, row_format = dynamic""",
        # `gone` records have no value, and `changes` tells of them; `changed` is the number of the commit.
        """create table if not exists kala_records (name varbinary(1100) not null primary key, revision bigint not null,
           changed bigint not null, gone tinyint not null, value longblob,
           key kala_records_changed (gone, changed)) engine = InnoDB, row_format = dynamic""",
        # Every index ends in the primary key, so a page is read from one without sorting.
        """create table if not exists kala_history (seq bigint not null auto_increment primary key,
           id varbinary(1024) not null, job_id varbinary(1024) not null, ran tinyint not null,
           state varbinary(32) not null, scheduled_for bigint not null, at bigint not null,
           run longtext character set utf8mb4 collate utf8mb4_bin not null,
           unique key kala_history_id (id), key kala_history_job (job_id, ran), key kala_history_state (state),
           key kala_history_scheduled (scheduled_for, state), key kala_history_at (at))
           engine = InnoDB, row_format = dynamic""",
        """create table if not exists kala_outputs (seq bigint not null auto_increment primary key,
           run_id varbinary(1024) not null, attempt int not null, size bigint not null, bytes bigint not null,
           data longblob not null, unique key kala_outputs_run (run_id, attempt))
           engine = InnoDB, row_format = dynamic""",
        """insert into kala_meta values ('changes', 0, {database}), ('forgotten', 0, ''), ('outputs', 0, ''),
           ('counted', 0, '') on duplicate key update number = number""",
    ),
)
"""Statements that lead from each schema version to the next."""

COLUMNS = {
    "kala_meta": "name, number, text",
    "kala_records": "name, revision, changed, gone, value",
    "kala_history": "seq, id, job_id, ran, state, scheduled_for, at, run",
    "kala_outputs": "seq, run_id, attempt, size, bytes, data",
}

_log = logging.getLogger(__name__)


def prepare(session: Session, way: Way) -> str:
    """Bring the database to our schema. Returns its id. Raises `StoreRefused` before any change."""
    version = _version(session)
    if version > len(MIGRATIONS):
        raise StoreRefused(
            f"{way.place}: its schema is version {version}, and this program knows versions up to {len(MIGRATIONS)}:"
            " install the newer program that wrote it, or name another database"
        )
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        made = literal(secrets.token_hex(8)).decode()
        for text in statements:
            session.ask(text.replace("{database}", made).encode())
        session.ask(
            b"insert into kala_meta values ('schema', %d, '') on duplicate key update number = greatest(number, %d)"
            % (number, number)
        )
    session.ask(*(f"select {columns} from {table} limit 0".encode() for table, columns in COLUMNS.items()))
    _try_rights(session)
    database: bytes = session.ask(b"select text from kala_meta where name = 'changes'")[0].rows[0][0]
    return database.decode()


def _version(session: Session) -> int:
    """The schema version, 0 for a database without our tables."""
    try:
        rows = session.ask(b"select number from kala_meta where name = 'schema'")[0].rows
    except pymysql.err.ProgrammingError as error:
        if code_of(error) != NO_TABLE:
            raise
        return 0
    return rows[0][0] if rows else 0


def _try_rights(session: Session) -> None:
    """Do what changes nothing, so that a lack of rights shows now. A copy that is only read is opened as well."""
    try:
        session.ask(
            b"update kala_meta set number = number where name = ''",
            b"delete from kala_meta where name = ''",
            b"insert into kala_meta select * from kala_meta where name = ''",
        )
    except pymysql.err.Error as error:
        if code_of(error) not in READ_ONLY:
            raise


class Facts(Struct, frozen=True):
    """What a server says of itself."""

    server: str  # its product and version
    losses: str  # what its settings let be lost; empty when nothing


def facts_of(session: Session) -> Facts:
    (version, comment, flushed, binary_log, synced, doublewrite) = session.ask(
        b"select @@version, @@version_comment, @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog,"
        b" @@innodb_doublewrite"
    )[0].rows[0]
    product = "MariaDB" if "mariadb" in f"{version} {comment}".lower() else "MySQL"
    number = re.match(r"[0-9.]*", version)
    faults = []
    if int(flushed) != 1:
        faults.append(
            f"innodb_flush_log_at_trx_commit is {flushed}: what was just written may be lost with the server's host;"
            " set it to 1"
        )
    if int(binary_log) and int(synced) != 1:
        faults.append(
            f"sync_binlog is {synced}: after a crash of the server's host its replicas may not have what it has;"
            " set it to 1"
        )
    if str(doublewrite).upper() in ("0", "OFF"):
        faults.append(
            "innodb_doublewrite is off: a page that is half written when the power fails is lost; turn it on, unless"
            " the file system writes pages whole"
        )
    return Facts(f"{product} {number[0] if number else version}", "; ".join(faults))


def warn(facts: Facts, way: Way) -> None:
    if facts.losses:
        _log.warning("%s: %s", way.place, facts.losses)
