"""A relay before Redis that holds or cuts a connection at a given message of its client."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from broker.address import PREFIX

_PREFIX = re.escape(PREFIX.encode())
# As redis-py writes them: the script that counts a chord's part, and the removal of a message from the unacknowledged.
CHORD_MARK = rb"EVALSHA\r\n\$40\r\n\w{40}\r\n\$1\r\n6\r\n\$\d+\r\n" + _PREFIX + rb"celery-taskset-meta-"
ACKNOWLEDGEMENT = rb"ZREM\r\n\$\d+\r\n" + _PREFIX + rb"unacked_index"


@dataclass
class Trap:
    """Triggers once, at the first message that matches: holds it until `release`, or cuts its connection."""

    pattern: re.Pattern[bytes]
    cuts: bool
    sprung: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0  # the client's

    def wait(self, seconds: float = 30) -> None:
        """Return once it has triggered.

        Raises
        ------
        TimeoutError
            When no message matched in time.
        """
        if not self.sprung.wait(seconds):
            raise TimeoutError(f"{self.pattern.pattern!r} was not said within {seconds} s")

    def release(self) -> None:
        """Release the held message."""
        self.released.set()


class Wire:
    """A relay to the Redis of a URL; `url` is the same Redis through the relay."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._traps: list[Trap] = []
        self._lock = threading.Lock()
        port = self._listening.getsockname()[1]
        self.url = parts._replace(netloc=f"{parts.netloc.rsplit(':', 1)[0]}:{port}").geturl()
        threading.Thread(target=self._accept, daemon=True).start()

    def trap(self, pattern: bytes, *, cuts: bool = False) -> Trap:
        """Set a trap."""
        made = Trap(re.compile(pattern), cuts)
        with self._lock:
            self._traps.append(made)
        return made

    def close(self) -> None:
        """Accept no more connections, and release held messages."""
        self._listening.close()
        for trap in self._traps:
            trap.release()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, (_, port) = self._listening.accept()
                try:
                    server = socket.create_connection(self._target, timeout=3)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                for one, other, said in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._relay, args=(one, other, port if said else 0), daemon=True).start()

    def _relay(self, one: socket.socket, other: socket.socket, port: int) -> None:
        try:
            while block := one.recv(65_536):
                if port and not self._passes(block, port):
                    break
                other.sendall(block)
        except OSError:
            pass
        finally:
            for end in (one, other):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _passes(self, block: bytes, port: int) -> bool:
        with self._lock:
            trap = next((each for each in self._traps if each.pattern.search(block)), None)
            if trap is None:
                return True
            self._traps.remove(trap)
        trap.port = port
        trap.sprung.set()
        if not trap.cuts:
            trap.released.wait()
        return not trap.cuts
