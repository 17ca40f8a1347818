"""The roles of those who come in. Each may do what those before it may."""

from enum import StrEnum


class Role(StrEnum):
    """What somebody may do."""

    READ = "read"  # see all there is
    RUN = "run"  # and operate it: start, cancel, enable, disable, pause, resume
    ADMIN = "admin"  # and say what runs: define, import, delete; and see who did what

    def may(self, needed: "Role") -> bool:
        """Whether this role has the rights of `needed`."""
        return _RANKS[self] >= _RANKS[needed]


_RANKS = {role: rank for rank, role in enumerate(Role)}
