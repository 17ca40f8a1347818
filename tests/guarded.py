"""A real daemon with a token of each role."""

from collections.abc import Iterable
from pathlib import Path

from daemon_process import KalaProcess

from kala.roles import Role
from kala.tokens import Token, new_token


class Guarded(KalaProcess):
    """Its tokens are named `the-read`, `the-run` and `the-admin`; requests show the last of them."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.made = {role: new_token(f"the-{role}", role) for role in Role}
        self.tokens = folder / "tokens"
        self.write(self.made)
        super().__init__(folder, "--tokens-file", str(self.tokens), *flags)
        self.headers = self.shown(Role.ADMIN)

    def secret(self, role: Role) -> str:
        return self.made[role][0]

    def token(self, role: Role) -> Token:
        return self.made[role][1]

    def shown(self, role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret(role)}"}

    def write(self, roles: Iterable[Role]) -> None:
        """Have the file hold the tokens of these roles. A daemon that runs takes them at SIGHUP."""
        self.tokens.touch(0o600)
        self.tokens.write_text("".join(f"{self.token(role).line()}\n" for role in roles))
