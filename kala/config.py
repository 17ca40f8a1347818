"""Settings: from flags, over `KALA_…` variables, over a settings file, over defaults.

A setting has one name in four spellings: the flag `--jobdb-address`, the variable `KALA_JOBDB_ADDRESS`, the member
`jobdb-address` of the file, the field `jobdb_address`. Case, dashes and underscores do not count, so the original's
older spellings (`--boltpath`, `--jobdbTlsCertPath`) are the same names. `settings.py` has the table of them all.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kala.errors import SettingsError, shortened
from kala.settings import BY_NAME, EMBEDDED, Note, Settings, squashed

PREFIX = "KALA_"
RUN_VARIABLES = frozenset(
    PREFIX + name
    for name in ("JOB_ID", "JOB_NAME", "RUN_ID", "SCHEDULED_FOR", "ATTEMPT", "TRIGGER", "NODE", "PARENT_RUN_ID")
)
"""What a run is told about itself: a daemon that a run starts must not take these for its settings."""

CLIENT_VARIABLES = frozenset(
    PREFIX + name
    for name in ("URL", "TOKEN", "TOKEN_FILE", "CA", "CERT", "KEY", "MOVE_FROM_PASSWORD", "MOVE_TO_PASSWORD")
)
"""What other commands read, beside which a daemon may be started."""

SECRETS = "KALA_SECRET_"
"""Variables of this beginning are secrets that jobs refer to."""

SUFFIXES = (".toml", ".json", ".yaml", ".yml")


class Given(NamedTuple):
    """A value as it was given, and the words for where: `--port`, `KALA_PORT`, `port in /etc/kala.toml`."""

    value: object
    source: str


def load(
    flags: Mapping[str, object],
    *,
    file: str | None = None,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Settings:
    """The settings of a daemon. `flags` holds those given, by any spelling; `file` is the value of `--kala`.

    Without `file`, `kala.{toml,json,yaml,yml}` is looked for in `home`, the user's home folder when None. Raises
    `SettingsError`, which names where the setting came from, what it was, and what would be right.
    """
    notes: list[Note] = []
    path = Path(file) if file is not None else find_file(home)
    from_file = {}
    if path is not None:
        from_file = by_name((key, f"{key} in {path}", value) for key, value in read_file(path).items())
        notes.append(Note("info", f"settings from {path}"))
    given = (
        from_file
        | variables(os.environ if environ is None else environ, notes)
        | by_name((key, f"--{BY_NAME[squashed(key)].flag}", value) for key, value in flags.items())
    )
    values = {name: read(name, one) for name, one in given.items()}
    if "port" in values:
        values |= port_and_interface(values, given)
    settings = Settings(**values)
    return settings.with_notes([*notes, *remarks(settings, given)])


def read(name: str, given: Given) -> Any:
    """The value of one setting."""
    setting = BY_NAME[squashed(name)]
    try:
        return setting.read(given.value)
    except ValueError as fault:
        came = "what is given" if setting.secret else repr(shortened(str(given.value)))
        raise SettingsError(f"{given.source}: {came} {fault}") from None


def by_name(given: Iterable[tuple[str, str, object]]) -> dict[str, Given]:
    """Values by their field, from (key, source, value). A key that is no setting is refused, as are two of one."""
    found: dict[str, Given] = {}
    for key, source, value in given:
        setting = BY_NAME.get(squashed(key))
        if setting is None:
            near = difflib.get_close_matches(squashed(key), BY_NAME, n=1)
            hint = f": did you mean {BY_NAME[near[0]].flag}?" if near else ""
            raise SettingsError(f"{source}: there is no such setting{hint}")
        if setting.name in found:
            raise SettingsError(f"{found[setting.name].source} and {source} are one setting: give it once")
        found[setting.name] = Given(value, source)
    return found


def variables(environ: Mapping[str, str], notes: list[Note]) -> dict[str, Given]:
    """The settings among the variables. An empty one is not set, as in the original."""
    ours = {
        key: value
        for key, value in environ.items()
        if key.startswith(PREFIX)
        and value
        and not key.startswith(SECRETS)
        and key not in RUN_VARIABLES | CLIENT_VARIABLES
    }
    known = {key: value for key, value in ours.items() if squashed(key.removeprefix(PREFIX)) in BY_NAME}
    notes += [
        Note("warning", f"{key} is no setting of this program and is passed over")
        for key in sorted(ours.keys() - known.keys())
    ]
    return by_name((key.removeprefix(PREFIX), key, value) for key, value in known.items())


def find_file(home: Path | None) -> Path | None:
    """The settings file in the home folder; None when there is none, or no home. Two of them are refused."""
    try:
        folder = home or Path.home()
    except RuntimeError:  # no HOME and no such user: a daemon in a bare container
        return None
    found = [path for suffix in SUFFIXES if (path := folder / f"kala{suffix}").exists()]
    if len(found) > 1:
        raise SettingsError(f"{' and '.join(map(str, found))} are both there: keep one, or name it with --kala")
    return found[0] if found else None


def read_file(path: Path) -> dict[str, object]:
    """The members of a settings file, by its suffix TOML, JSON or YAML."""
    if path.suffix not in SUFFIXES:
        raise SettingsError(f"{path}: a settings file ends in {', '.join(SUFFIXES)}")
    try:
        text = path.read_text()
        if path.suffix == ".toml":
            members = tomllib.loads(text)
        elif path.suffix == ".json":
            members = json.loads(text)
        else:
            members = _yaml(path, text)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # also of Unicode
        raise SettingsError(f"{path} is not good {path.suffix[1:].upper()}: {error}") from None
    if members is None:  # an empty file of YAML
        return {}
    if not isinstance(members, dict):
        raise SettingsError(f"{path} must hold names and values")
    return {str(key): value for key, value in members.items()}


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise SettingsError(f"{path}: reading YAML needs an extra: pip install 'kala[yaml]'") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def port_and_interface(values: Mapping[str, Any], given: Mapping[str, Given]) -> dict[str, Any]:
    """`--port host:8000` names the interface too, and must agree with `--interface`."""
    host, port = values["port"]
    if host is None:
        return {"port": port}
    if host != values.get("interface", host):
        raise SettingsError(
            f"{given['port'].source} names the interface {host}, and {given['interface'].source} "
            f"{values['interface']}: give one of them"
        )
    return {"port": port, "interface": host}


def remarks(settings: Settings, given: Mapping[str, Given]) -> list[Note]:
    """What someone who comes from the original should read in the log."""
    found: list[Note] = []
    if settings.no_persist:
        found.append(Note("warning", "--no-persist: jobs and results are in memory only, and end with the daemon"))
    elif "jobdb" in given and settings.jobdb == "boltdb":
        found.append(Note("info", f"--jobdb boltdb means SQLite here: {settings.database}"))
    if settings.no_tx_persist or "persist_every" in given:
        found.append(
            Note("info", "every change is durable when it is answered: --persist-every and --no-tx-persist are idle")
        )
    idle = [name for name in given if name.startswith("jobdb_")]
    if idle and (settings.no_persist or settings.jobdb in EMBEDDED):
        flags = ", ".join(f"--{BY_NAME[squashed(name)].flag}" for name in idle)
        found.append(Note("warning", f"the embedded database has no use for {flags}"))
    if settings.profile:
        found.append(Note("info", f"--profile: where time goes is written to {settings.profile_file} at the end"))
    if settings.insecure and not settings.has_tokens:
        found.append(
            Note("warning", f"--insecure: whoever reaches {settings.interface}:{settings.port} can run commands here")
        )
    return found
