"""Choosing TCP ports for programs that are started later, without conflicts between our own processes."""

from __future__ import annotations

import secrets
import socket

from errors import EmbeddedError

HOST = "127.0.0.1"
# Below the ephemeral ports: the kernel could give a server's port to a client that connects while the server is down.
PORTS = range(20_000, 32_768)

# The ports that this process has chosen. Each is reserved by binding its UDP port until the process ends, so that
# another process of ours does not choose it before the program listens on its TCP port.
_chosen: list[socket.socket] = []


def choose_port(name: str, wanted: int) -> int:
    """The wanted port, or a free one for 0; reserved against our other processes until this process ends.

    Raises
    ------
    EmbeddedError
        When a program listens on the wanted port already, or another `up` has chosen it.
    """
    if not wanted:
        while not _choose(port := secrets.choice(PORTS)):
            pass
        return port
    if not _choose(wanted):
        raise EmbeddedError(f"{name} {wanted} is in use by another program; set {name} to another, or to 0 for any.")
    return wanted


def is_free(port: int) -> bool:
    """True if no program listens on the port and no process of ours has chosen it."""
    if (held := _hold(port)) is None:
        return False
    held.close()
    return True


def _choose(port: int) -> bool:
    if (held := _hold(port)) is None:
        return False
    _chosen.append(held)
    return True


def _hold(port: int) -> socket.socket | None:
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((HOST, port))
            probe.bind((HOST, port))
        except OSError:
            held.close()
            return None
    return held
