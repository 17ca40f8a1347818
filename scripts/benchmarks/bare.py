"""The same writes as a driver's claims, by nothing but the engine's client: 1,000 records of 1 KB, updated under their
revision, durably. No conflicts are told apart, nothing is numbered, nobody listens."""

import base64
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from kala.drivers.server import Server, read_address

VALUE = b'{"x":"%s"}' % (b"x" * 1_000)
Claim = Callable[[int, int, int], None]
"""Writes the records `first` to `first + count` at a revision."""


def sqlite(folder: Path) -> Claim:
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table bare (key text primary key, revision integer, value blob)")
    connection.executemany("insert into bare values (?, 0, ?)", [(f"k{n}", VALUE) for n in range(1_000)])

    def claim(first: int, count: int, revision: int) -> None:
        connection.execute("begin immediate")
        connection.executemany(
            "update bare set revision = ?, value = ? where key = ? and revision = ?",
            [(revision, VALUE, f"k{n}", revision - 1) for n in range(first, first + count)],
        )
        connection.execute("commit")

    return claim


def postgres(server: Server) -> Claim:
    import psycopg

    at = read_address(server, {}, 5432)
    connection = psycopg.connect(
        host=at.hosts[0][0], port=at.hosts[0][1], dbname=at.path, user=at.username, password=at.password
    )
    connection.execute("create table bare (key bytea primary key, revision bigint, value bytea)")
    with connection.cursor() as cursor:
        cursor.executemany("insert into bare values (%s, 0, %s)", [(b"k%d" % n, VALUE) for n in range(1_000)])
    connection.commit()

    def claim(first: int, count: int, revision: int) -> None:
        with connection.cursor() as cursor:  # a pipeline, by psycopg itself
            cursor.executemany(
                "update bare set revision = %s, value = %s where key = %s and revision = %s",
                [(revision, VALUE, b"k%d" % n, revision - 1) for n in range(first, first + count)],
            )
        connection.commit()

    return claim


def mariadb(server: Server) -> Claim:
    import pymysql

    plain = server.address.replace("tcp(", "").replace(")", "")
    at = read_address(replace(server, address=plain), {}, 3306)
    connection: Any = pymysql.connect(
        host=at.hosts[0][0],
        port=at.hosts[0][1],
        database=at.path,
        user=at.username,
        password=at.password.encode(),  # it would be Latin-1 otherwise
    )
    # many rows in one statement; the update of one row would be a round trip each
    write = (
        "insert into bare values (%s, %s, %s) on duplicate key update"
        " value = if(revision = values(revision) - 1, values(value), value),"
        " revision = if(revision = values(revision) - 1, values(revision), revision)"
    )
    with connection.cursor() as cursor:
        cursor.execute("create table bare (`key` varbinary(255) primary key, revision bigint, value longblob)")
        cursor.executemany(write, [(b"k%d" % n, 0, VALUE) for n in range(1_000)])
    connection.commit()

    def claim(first: int, count: int, revision: int) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(write, [(b"k%d" % n, revision, VALUE) for n in range(first, first + count)])
        connection.commit()

    return claim


def redis(server: Server) -> Claim:
    import redis as library

    at = read_address(server, {"redis": False}, 6379)
    client = library.Redis(
        host=at.hosts[0][0],
        port=at.hosts[0][1],
        db=int(at.path or 0),
        username=at.username or None,
        password=at.password or None,
    )

    def claim(first: int, count: int, revision: int) -> None:
        with client.pipeline(transaction=False) as pipeline:  # it cannot look before it writes
            for n in range(first, first + count):
                pipeline.hset(f"kala:bare:{n}", mapping={"revision": revision, "value": VALUE})
            pipeline.execute()

    return claim


def mongo(server: Server) -> Claim:
    import pymongo

    at = read_address(server, {"mongodb": None}, 27017)
    login = {"username": at.username, "password": at.password} if at.username else {}
    client: Any = pymongo.MongoClient(at.hosts[0][0], at.hosts[0][1], w="majority", **login)
    bare = client[at.path]["bare"]
    bare.insert_many([{"_id": f"k{n}", "revision": 0, "value": VALUE} for n in range(1_000)])

    def claim(first: int, count: int, revision: int) -> None:
        bare.bulk_write(
            [
                pymongo.UpdateOne(
                    {"_id": f"k{n}", "revision": revision - 1}, {"$set": {"revision": revision, "value": VALUE}}
                )
                for n in range(first, first + count)
            ],
            ordered=False,
        )

    return claim


def consul(server: Server) -> Claim:
    import requests

    at = read_address(server, {"consul": False, "http": False}, 8500)
    session = requests.Session()
    if at.password:
        session.headers["X-Consul-Token"] = at.password
    url = f"http://{at.hosts[0][0]}:{at.hosts[0][1]}/v1/txn"
    value = base64.b64encode(VALUE).decode()
    index = dict.fromkeys(range(1_000), 0)

    def claim(first: int, count: int, revision: int) -> None:
        for start in range(first, first + count, 64):
            these = range(start, min(start + 64, first + count))
            operations = [
                {"KV": {"Verb": "cas", "Key": f"{at.path}/bare/{n}", "Value": value, "Index": index[n]}} for n in these
            ]
            answer = session.put(url, json=operations, timeout=10)
            answer.raise_for_status()
            for n, result in zip(these, answer.json()["Results"], strict=True):
                index[n] = result["KV"]["ModifyIndex"]

    return claim


BARE: dict[str, Callable[..., Claim]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "mariadb": mariadb,
    "redis": redis,
    "mongo": mongo,
    "consul": consul,
}
"""By the engine's name."""
