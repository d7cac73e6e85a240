"""The account that PostgreSQL runs as: our own, unless we are root, whom it refuses.

Root hands the server to `postgres`, or `nobody`, and opens to it no more than the way to its files.
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
    """A user who isn't root."""

    uid: int
    gid: int

    @property
    def drop(self) -> Mapping[str, Any]:
        """What makes `subprocess` run a program as this user."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, folder: Path) -> None:
        """Make the folder, private to this user; another user's folder or link is left as it is."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.geteuid() != self.uid:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)

    def reach(self, path: Path) -> None:
        """Let this user pass the folders above the path."""
        if os.geteuid() == self.uid:
            return
        for folder in path.resolve().parents:
            _allow(folder, stat.S_IXOTH)

    def read(self, tree: Path) -> None:
        """Let this user read, and run where we can, what is in the tree."""
        if os.geteuid() == self.uid:
            return
        for path in (tree, *tree.rglob("*")):
            _allow(path, stat.S_IROTH | (stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0))


def account_for(data: Path) -> Account:
    """Who the server of a data folder runs as: the folder's owner, where there is one already.

    Raises
    ------
    EmbeddedError
        When we are root and nobody else is known here.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if data.exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    for name in CANDIDATES:
        with suppress(KeyError):
            return Account(pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gid)
    raise EmbeddedError("PostgreSQL does not run as root, and here is no user postgres or nobody to run it as.")


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)
