"""What can be set: the fields of `Settings`, and the table from which flags, variables and files are read."""

import dataclasses
import re
import socket
from pathlib import Path
from typing import Literal, NamedTuple

from kala.clock import SECOND
from kala.drivers.server import Server, Tls
from kala.values import (
    PRIVATE,
    UNIX,
    LabelLimit,
    Peers,
    Read,
    age,
    choice,
    hosts,
    interface,
    label_limits,
    mode,
    node,
    path_prefix,
    peers,
    port,
    seconds,
    switch,
    text,
    whole,
)

ENGINES = ("sqlite", "boltdb", "redis", "mongo", "consul", "postgres", "mariadb", "mysql")
EMBEDDED = frozenset({"sqlite", "boltdb"})
FORMATS = ("auto", "text", "logfmt", "json")
DAY = 86_400


class Note(NamedTuple):
    """A line for the log, which is not open yet while settings are read."""

    level: Literal["info", "warning"]
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a daemon, as read and checked by `config.load`."""

    port: int = 8000  # 0: any that is free
    interface: str = "127.0.0.1"  # or unix:/path
    socket_mode: int = 0o600  # of a unix socket
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    trusted_proxies: tuple[Peers, ...] = ()
    path_prefix: str = ""  # begins with a slash, and does not end in one
    tokens_file: str = ""
    tokens: str = dataclasses.field(default="", repr=False)  # as the lines of the file
    audit_file: str = ""  # empty: audit.jsonl in the state folder
    no_persist: bool = False
    default_owner: str = ""
    jobdb: str = "sqlite"
    bolt_path: str = ""  # folder of the embedded database; empty is the current one
    state_folder: str = ""  # of what the database does not take; empty is that of the embedded database
    jobdb_address: str = ""
    jobdb_username: str = ""
    jobdb_password: str = dataclasses.field(default="", repr=False)
    jobdb_tls_capath: str = ""
    jobdb_tls_certpath: str = ""
    jobdb_tls_keypath: str = ""
    jobdb_tls_servername: str = ""
    verbose: bool = False
    persist_every: int = 3600  # seconds; idle here
    no_tx_persist: bool = False  # idle here
    jobstat_ttl: int = -1  # minutes; below 1 is for ever
    profile: bool = False
    shared: bool = False
    max_runs: int = 0  # 0: as the limit on open files allows
    keep_runs: int = 100
    done_ttl: int | None = 30 * DAY * SECOND  # microseconds; None is never
    output_limit: int = 65_536  # bytes
    output_total: int = 1 << 30  # bytes; 0 is without bound
    drain: float = 30.0  # seconds
    run_as: str = ""  # user, or user:group
    limit_runs: tuple[LabelLimit, ...] = ()
    secrets_folder: str = ""
    remote_deny: tuple[Peers, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    insecure: bool = False
    log_format: str = "auto"
    log_file: str = ""  # empty: standard error
    node: str = dataclasses.field(default_factory=socket.gethostname)
    notes: tuple[Note, ...] = ()  # to be logged at the start

    @property
    def has_tokens(self) -> bool:
        """Whoever comes needs a token."""
        return bool(self.tokens_file or self.tokens)

    @property
    def database(self) -> Path:
        """The file of the embedded database."""
        return Path(self.bolt_path) / "kala.db"

    @property
    def spool_folder(self) -> Path:
        """Where results are kept that the database does not take."""
        return Path(self.state_folder or self.bolt_path)

    @property
    def server(self) -> Server:
        """Where the database's server is."""
        tls = Tls(self.jobdb_tls_capath, self.jobdb_tls_certpath, self.jobdb_tls_keypath, self.jobdb_tls_servername)
        return Server(self.jobdb_address, self.jobdb_username, self.jobdb_password, tls)

    @property
    def profile_file(self) -> Path:
        """Where `--profile` writes, for `python -m pstats`."""
        return Path(self.bolt_path) / "kala.prof"

    @property
    def history_age(self) -> int | None:
        """How long history is kept, microseconds; None is for ever. Below 1 minute is for ever, as in the original."""
        return self.jobstat_ttl * 60 * SECOND if self.jobstat_ttl > 0 else None

    def with_notes(self, notes: list[Note]) -> "Settings":
        return dataclasses.replace(self, notes=tuple(notes))


class Setting(NamedTuple):
    """One setting. Its flag is its name with dashes, unless `flag` was given."""

    name: str
    read: Read
    about: str
    metavar: str = ""  # empty: a switch
    short: str = ""
    named: str = ""
    secret: bool = False
    many: bool = False
    has_flag: bool = True  # other users can read flags: what is secret by nature has none

    @property
    def flag(self) -> str:
        return self.named or self.name.replace("_", "-")


def squashed(name: str) -> str:
    """A setting's name without what does not count in it."""
    return re.sub("[-_]", "", name).lower()


TABLE: dict[str, tuple[Setting, ...]] = {
    "Listening": (
        Setting("port", port, "Port to listen on, also as :8000 or host:8000; 0 takes a free one. [8000]", "PORT", "p"),
        Setting(
            "interface", interface, "Address to listen on, or unix:/path for a socket. [127.0.0.1]", "ADDRESS", "i"
        ),
        Setting("socket_mode", mode, "Who may connect to a unix socket, in octal. [600]", "MODE"),
        Setting("tls_cert", text, "Serve HTTPS with this certificate, and those that vouch for it (PEM).", "FILE"),
        Setting("tls_key", text, "Key of that certificate. [in the same file]", "FILE"),
        Setting("tls_client_ca", text, "Take only clients with a certificate of one of these CAs (PEM).", "FILE"),
        Setting(
            "trusted_proxies",
            peers(UNIX),
            "Address or network of a proxy whose X-Forwarded-For, -Proto and -Host are believed, or unix; may be"
            " repeated.",
            "NETWORK",
            named="trusted-proxy",
            many=True,
        ),
        Setting("path_prefix", path_prefix, "Path below which a proxy shows this server, such as /kala.", "PATH"),
        Setting(
            "tokens_file", text, "Who may come in: a line for each token, as `kala token new` writes them.", "FILE"
        ),
        Setting("tokens", str, "The same lines, in a variable.", "LINES", secret=True, has_flag=False),
        Setting(
            "audit_file",
            text,
            "Who did what, in JSON lines; SIGHUP opens it anew. [audit.jsonl in the state folder]",
            "FILE",
        ),
        Setting(
            "allowed_hosts",
            hosts,
            "A further name by which browsers and clients may call this server; may be repeated.",
            "NAME",
            named="allowed-host",
            many=True,
        ),
        Setting(
            "insecure", switch, "Listen where other machines can reach it, although anyone there can run commands."
        ),
    ),
    "Database": (
        Setting(
            "jobdb", choice(*ENGINES), f"Engine: {', '.join(ENGINES)}. boltdb means sqlite here. [sqlite]", "ENGINE"
        ),
        Setting("bolt_path", text, "Folder of the embedded database, kala.db. [the current folder]", "FOLDER"),
        Setting(
            "state_folder",
            text,
            "Folder for results of runs that end while the database is away, until it has them. [--bolt-path, or else"
            " the current folder]",
            "FOLDER",
        ),
        Setting("no_persist", switch, "Keep everything in memory only, for trying things out.", short="n"),
        Setting("shared", switch, "Other daemons work on the same database."),
        Setting("jobdb_address", text, "Address of the database's server, as host:port or a URL.", "ADDRESS"),
        Setting("jobdb_username", text, "User name at the database's server.", "NAME"),
        Setting(
            "jobdb_password",
            text,
            "Password there. Other users see flags: prefer the variable KALA_JOBDB_PASSWORD.",
            "PASSWORD",
            secret=True,
        ),
        Setting("jobdb_tls_capath", text, "CA certificates that vouch for the database's server.", "FILE"),
        Setting("jobdb_tls_certpath", text, "Certificate to show to it.", "FILE"),
        Setting("jobdb_tls_keypath", text, "Key of that certificate.", "FILE"),
        Setting("jobdb_tls_servername", text, "Name that the server's certificate must have.", "NAME"),
        Setting(
            "persist_every", whole(1, 10**9), "Accepted and idle: every change is durable at once.", "SECONDS", "e"
        ),
        Setting("no_tx_persist", switch, "Accepted and idle: every change is durable at once."),
    ),
    "Runs": (
        Setting("default_owner", text, "Owner of jobs that are created without one.", "OWNER", "o"),
        Setting(
            "max_runs",
            whole(0, 10**6),
            "At most so many runs at once; 0: as the limit on open files allows. [0]",
            "NUMBER",
        ),
        Setting("drain", seconds, "How long runs in progress may go on when the daemon stops. [30]", "SECONDS"),
        Setting("run_as", text, "User, or user:group, as which commands run when their job names none.", "USER"),
        Setting(
            "limit_runs",
            label_limits,
            "At most so many runs at once of jobs with a label, as pool=reports:2; as tenant=*:5 of each of its"
            " values; may be repeated.",
            "LIMIT",
            many=True,
        ),
        Setting("secrets_folder", text, "Folder of secrets that jobs refer to, a file for each.", "FOLDER"),
        Setting(
            "remote_deny",
            peers(PRIVATE),
            "Network that HTTP calls of jobs may not reach, or private for all that are not public; may be repeated.",
            "NETWORK",
            many=True,
        ),
        Setting("output_limit", whole(0, 2**24), "Keep the last bytes of what a run prints. [65536]", "BYTES"),
        Setting(
            "output_total",
            whole(0, 10**15),
            "Keep at most so much of what all runs print, dropping the oldest; 0: without bound. [1073741824]",
            "BYTES",
        ),
        Setting("keep_runs", whole(0, 10**6), "Keep the history of so many runs of each job. [100]", "NUMBER"),
        Setting("jobstat_ttl", whole(-1, 10**9), "Drop history older than this; -1 keeps it for ever. [-1]", "MINUTES"),
        Setting("done_ttl", age, "Drop finished one-off jobs after this time (ISO 8601), or never. [P30D]", "DURATION"),
        Setting("node", node, "This daemon's name, which runs are told. [the host's name]", "NAME"),
    ),
    "Log": (
        Setting("verbose", switch, "Log more.", short="v"),
        Setting(
            "log_format",
            choice(*FORMATS),
            f"{', '.join(FORMATS)}. auto: text on a terminal, else logfmt. [auto]",
            "FORMAT",
        ),
        Setting("log_file", text, "Write the log there; SIGHUP opens it anew. [standard error]", "FILE"),
        Setting("profile", switch, "Write where time went to kala.prof, beside the database, at the end."),
    ),
}
"""All settings, by the heading in the help under which they stand."""

BY_NAME: dict[str, Setting] = {squashed(one.flag): one for group in TABLE.values() for one in group}
BY_NAME |= {squashed(one.name): one for one in BY_NAME.values()}
