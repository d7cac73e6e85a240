"""Locks on files that the kernel drops when their last holder dies: after a kill -9 nothing is stale.

A lock belongs to the open file, so a child that inherits the descriptor holds it too: a server that was started
with its lock tells by it, for as long as any of its processes lives, that it runs.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def take(path: Path) -> int | None:
    """The file's exclusive lock as a descriptor, or None while another holds a lock on it."""
    return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB, os.O_CREAT)


def share(path: Path) -> int:
    """A shared lock as a descriptor; waits while another holds the exclusive one."""
    descriptor = _lock(path, fcntl.LOCK_SH, os.O_CREAT)
    assert descriptor is not None
    return descriptor


def held(path: Path) -> bool:
    """Whether another holds the file's exclusive lock; nobody does where there is no file."""
    try:
        descriptor = _lock(path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _lock(path: Path, operation: int, create: int = 0) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | create, 0o600)
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
