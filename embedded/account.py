"""The user that PostgreSQL runs as: our own, or `postgres` or `nobody` if we are root, since it refuses to run as root.

For another user, permissions are added on the server's files and the folders above them, and nowhere else.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import EmbeddedError

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user other than root."""

    uid: int
    gid: int

    @property
    def drop(self) -> Mapping[str, Any]:
        """The options for `subprocess` to run a program as this user."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, folder: Path) -> None:
        """Create the folder, private to this user; another user's folder or link is left unchanged."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.geteuid() != self.uid:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)

    def reach(self, path: Path) -> None:
        """Let this user traverse the folders above the path."""
        if os.geteuid() == self.uid:
            return
        for folder in path.resolve().parents:
            _allow(folder, stat.S_IXOTH)

    def read(self, tree: Path) -> None:
        """Let this user read the files of the tree, and execute those that we can."""
        if os.geteuid() == self.uid:
            return
        for path in (tree, *tree.rglob("*")):
            _allow(path, stat.S_IROTH | (stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0))


def account_for(data: Path) -> Account:
    """The user that the server of a data folder runs as: the folder's owner, if it exists.

    Raises
    ------
    EmbeddedError
        When we are root and there is no user postgres or nobody.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if data.exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    for name in CANDIDATES:
        with suppress(KeyError):
            return Account(pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gid)
    raise EmbeddedError("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as.")


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)
