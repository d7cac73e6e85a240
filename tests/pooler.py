"""A real PgBouncer in transaction mode, with few server sessions, so that clients do share them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from embedded.account import account_for
from embedded.ports import choose_port
from tests.installed import program
from tests.system import wait_for


@contextmanager
def pgbouncer(*urls: str, folder: Path, settings: str = "") -> Iterator[list[str]]:
    """The URLs of these databases behind one PgBouncer with Debian's defaults, but for more lines of its file."""
    command = program("pgbouncer")
    port = choose_port("PgBouncer", 0)
    given = [conninfo_to_dict(url) for url in urls]
    databases = [f"{to['dbname']} = host={to['host']} port={to['port']} dbname={to['dbname']}" for to in given]
    account = account_for(folder / "nothing")
    folder.mkdir(parents=True, exist_ok=True)
    users, config, log = (folder / name for name in ("users.txt", "pgbouncer.ini", "pgbouncer.log"))
    users.write_text('"postgres" ""\n')
    config.write_text(
        "\n".join(
            [
                "[databases]",
                *databases,
                "[pgbouncer]",
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =",
                f"auth_type = trust\nauth_file = {users}",
                "pool_mode = transaction\ndefault_pool_size = 8\nmax_client_conn = 200",
                settings,
            ]
        )
    )
    account.reach(config)
    account.read(folder)
    with log.open("wb") as reported:
        process = subprocess.Popen([command, str(config)], stdout=reported, stderr=reported, **account.drop)
    try:
        pooled = [f"postgresql://postgres@127.0.0.1:{port}/{to['dbname']}" for to in given]
        wait_for(lambda: _answers(pooled[0]))
        yield pooled
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
