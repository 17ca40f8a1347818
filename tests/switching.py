"""For tests that need root: users as which processes run, and folders that they may enter."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kala.processes.users import User, find_user

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as other users")
needs_setpriv = pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not there")
OTHER = "nobody"
WITHOUT_ROOT = (
    f"setpriv --reuid={OTHER} --regid={find_user(OTHER).gid} --clear-groups"
    " --inh-caps=+dac_override --ambient-caps=+dac_override"  # to reach an interpreter below /root
).split()

OF_DOCKER = (  # what Docker leaves to root by itself
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,"
    "+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap"
)
IN_A_CONTAINER = ["setpriv", f"--bounding-set={OF_DOCKER}"]


def other() -> User:
    return find_user(OTHER)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that all may enter; those of `tmp_path` only their owner may."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # TMPDIR may be closed to others
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)
