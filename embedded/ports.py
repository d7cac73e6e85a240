"""TCP ports for programs that start later, as far as our own processes of this machine go."""

from __future__ import annotations

import secrets
import socket

from errors import EmbeddedError

HOST = "127.0.0.1"
# Below the ports that the kernel gives to clients: one that looks for a server that is down could be given its port.
PORTS = range(20_000, 32_768)

# Ports that this process has chosen, each held by its UDP side until the process ends: programs listen on them later,
# and no other process of ours may take them meanwhile.
_chosen: list[socket.socket] = []


def choose_port(name: str, wanted: int) -> int:
    """The wanted port, or for 0 one that is free; no other process of ours takes it as long as this one lives.

    Raises
    ------
    EmbeddedError
        When something listens on the wanted one already, or another `up` has chosen it.
    """
    if not wanted:
        while not _choose(port := secrets.choice(PORTS)):
            pass
        return port
    if not _choose(wanted):
        raise EmbeddedError(f"{name} {wanted} is in use by another program; set {name} to another, or to 0 for any.")
    return wanted


def is_free(port: int) -> bool:
    """True if nothing listens on the port and nobody has chosen it."""
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
