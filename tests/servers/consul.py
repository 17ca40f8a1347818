"""Consul: the real agent, as a server of its own, with tokens."""

import base64
import json
import resource
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from kala.drivers.server import Server
from servers.certificates import Certificates
from servers.service import Service, found, free_port

MANAGEMENT = "6f5ab4b6-7d0e-4d0c-9d7b-54b1f3f5b0a1"
POLICY = "kala"


class ConsulService(Service):
    """Tokens of one policy may write under keys that begin with `kala_test`, and ask the agent about itself.

    `settings` is more of the agent's configuration.
    """

    engine, title, programs = "consul", "Consul", ("consul",)
    stop_signal = signal.SIGINT  # leave nothing behind, and keep what is there

    def __init__(self, folder: Path, port: int | None = None, settings: dict[str, Any] | None = None) -> None:
        super().__init__(folder, port)
        self.settings = settings or {}
        self.token = str(uuid.uuid4())
        self._ca: str | bool = True
        self._certificate: tuple[str, str] | None = None

    def prepare(self) -> None:
        ports = {"serf_lan": free_port(), "server": free_port()}
        other = "https" if self._certificate is None else "http"
        off = dict.fromkeys(("dns", "grpc", "grpc_tls", "serf_wan", other), -1)
        configuration = {
            "server": True,
            "bootstrap_expect": 1,
            "data_dir": str(self.folder / "data"),
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "ports": {"http" if self._certificate is None else "https": self.port, **ports, **off},
            "disable_update_check": True,
            "leave_on_terminate": False,
            "skip_leave_on_interrupt": True,
            "log_level": "warn",
            "performance": {"raft_multiplier": 1},  # it elects itself sooner
            "acl": {
                "enabled": True,
                "default_policy": "deny",
                "policy_ttl": "0s",
                "token_ttl": "0s",
                "tokens": {"initial_management": MANAGEMENT},
            },
            **self.settings,
        }
        (self.folder / "agent.json").write_text(json.dumps(configuration))

    def command(self) -> Sequence[str]:
        # XFSZ is ignored for `full`: a write beyond the limit fails then, and does not end the agent.
        ignoring = ("sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh")
        return [*ignoring, found("consul"), "agent", "-config-file", str(self.folder / "agent.json")]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """A request with all rights: its JSON, None where there is nothing."""
        answer = requests.request(
            method,
            f"{'http' if self._certificate is None else 'https'}://127.0.0.1:{self.port}/v1/{path}",
            json=body,
            headers={"X-Consul-Token": MANAGEMENT},
            verify=self._ca,
            cert=self._certificate,
            timeout=10,
        )
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()

    def put(self, key: str, value: bytes) -> None:
        """Write a key by hand."""
        self.ask("PUT", "txn", [{"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode()}}])

    def value(self, key: str) -> bytes:
        (found,) = self.ask("PUT", "txn", [{"KV": {"Verb": "get", "Key": key}}])["Results"]
        return base64.b64decode(found["KV"]["Value"])

    def secure(self, made: Certificates) -> None:
        """Speak TLS alone, from the first start on, and want a certificate of clients."""
        self._ca, self._certificate = made.ca, (made.client, made.client_key)
        files = {"ca_file": made.ca, "cert_file": made.server, "key_file": made.server_key}
        self.settings = {**self.settings, "tls": {"https": {**files, "verify_incoming": True}}}

    def answers(self) -> bool:
        """It leads, so that it can write, and knows the token."""
        self.write_policy("write")
        tokens = {one["SecretID"] for one in self.ask("GET", "acl/tokens")}
        if self.token not in tokens:
            self.ask("PUT", "acl/token", {"SecretID": self.token, "Policies": [{"Name": POLICY}]})
        return True

    def write_policy(self, rights: str) -> None:
        rules = f'key_prefix "kala_test" {{ policy = "{rights}" }} agent_prefix "" {{ policy = "read" }}'
        known = {one["Name"]: one["ID"] for one in self.ask("GET", "acl/policies")}
        path = f"acl/policy/{known[POLICY]}" if POLICY in known else "acl/policy"
        self.ask("PUT", path, {"Name": POLICY, "Rules": rules})

    def version(self) -> str:
        return f"Consul {self.ask('GET', 'agent/self')['Config']['Version']}"

    def fresh(self) -> Server:
        return Server(f"127.0.0.1:{self.port}/{self.next_name()}", password=self.token)

    def old_password(self) -> None:
        (token,) = [one for one in self.ask("GET", "acl/tokens") if one["SecretID"] == self.token]
        self.ask("DELETE", f"acl/token/{token['AccessorID']}")
        self.token = str(uuid.uuid4())
        self.answers()

    def read_only(self, on: bool) -> None:
        self.write_policy("read" if on else "write")

    def full(self, on: bool) -> None:
        """No file may be longer than the longest is now, and a little."""
        assert self.process is not None
        longest = max(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        limit = longest + (1 << 20) if on else resource.RLIM_INFINITY
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def wipe(self, server: Server) -> None:
        self.ask("DELETE", f"kv/{server.address.partition('/')[2]}/?recurse")
