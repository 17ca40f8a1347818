"""Certificates for servers and clients of tests, made by openssl."""

import subprocess
from pathlib import Path

from msgspec import Struct

KEY = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"


class Certificates(Struct, frozen=True):
    """Paths. The server is 127.0.0.1, localhost and db.example; `other_ca` has signed none of these."""

    ca: str
    other_ca: str
    server: str
    server_key: str
    client: str
    client_key: str


def certificates(folder: Path) -> Certificates:
    """Make them in a folder that is there."""
    for name in "ca", "other":
        _openssl(
            folder,
            f"{KEY} -x509 -keyout {name}.key -out {name}.pem -subj /CN=test-{name}"
            " -addext keyUsage=critical,keyCertSign",
        )
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:db.example\n"
    for name, subject in ("server", "127.0.0.1"), ("client", "kala"):
        _openssl(folder, f"{KEY} -keyout {name}.key -out {name}.csr -subj /CN={subject}")
        (folder / "extensions").write_text(
            (names if name == "server" else "") + "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        _openssl(
            folder,
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions"
            f" -out {name}.pem",
        )
    files = ("ca.pem", "other.pem", "server.pem", "server.key", "client.pem", "client.key")
    return Certificates(*(str(folder / file) for file in files))


def _openssl(folder: Path, line: str) -> None:
    subprocess.run(["openssl", *line.split()], cwd=folder, check=True, capture_output=True)
