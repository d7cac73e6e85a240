"""File locks (flock), which the kernel releases when their last holder dies, even by kill -9.

A lock belongs to the open file, so a child that inherits the descriptor holds it as well. A server inherits its lock,
which is therefore held as long as any of its processes runs.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def take(path: Path) -> int | None:
    """Take the file's exclusive lock; returns its descriptor, or None while another process holds a lock."""
    return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB, os.O_CREAT)


def share(path: Path) -> int:
    """Take a shared lock, waiting while another process holds the exclusive one; returns its descriptor."""
    descriptor = _lock(path, fcntl.LOCK_SH, os.O_CREAT)
    assert descriptor is not None
    return descriptor


def held(path: Path) -> bool:
    """Whether another process holds the file's exclusive lock; False if the file does not exist."""
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
