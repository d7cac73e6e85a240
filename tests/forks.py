"""Runs `smartcrm` again and again, each time as a process of its own that need not load the libraries first.

python -P tests/forks.py: each line on standard input is a call as JSON, each line on standard output its status. Only
libraries are loaded beforehand, none of our modules, so that a call finds everything of ours as a fresh process does.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import Any

# What most calls load. Not numpy and what is built on it, whose threads a fork would not have.
LIBRARIES = (
    "alembic.command",
    "celery.backends.redis",
    "click",
    "kombu.transport.redis",
    "psycopg",
    "redis",
    "rich.console",
    "rich.table",
)
LIBRARIES += ("sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.orm", "structlog")


def become(call: dict[str, Any]) -> int:
    """Be the process of one call; returns its status."""
    signal.alarm(call["seconds"])
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["env"])
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, call["out"], os.O_WRONLY),
        (2, call["err"], os.O_WRONLY),
    ):
        file = os.open(path, flags)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["smartcrm", *call["arguments"]]
    from cli.main import main

    main()
    return 0


def serve() -> int:
    """Answer calls until there are no more."""
    for name in LIBRARIES:
        importlib.import_module(name)
    while line := sys.stdin.buffer.raw.readline():  # type: ignore[attr-defined]  # nothing is read ahead
        if not (child := os.fork()):
            return become(json.loads(line))
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return 0


if __name__ == "__main__":
    sys.exit(serve())
