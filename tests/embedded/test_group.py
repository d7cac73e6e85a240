"""Programs under tethers: they end when their parent ends, in any way, and are restarted when they end alone."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from embedded import restarts, services, tether
from embedded.group import ProcessGroup
from embedded.ports import HOST, choose_port, is_free
from errors import EmbeddedError
from tests.system import wait_for

ROOT = Path(__file__).parent.parent.parent
# Writes its process id to a given file, and waits; with a child in its group that does the same.
WAIT = """
import os, signal, sys, time
from pathlib import Path
def tell(name):
    Path(sys.argv[1], name + ".new").write_text(str(os.getpid()))
    Path(sys.argv[1], name + ".new").rename(Path(sys.argv[1], name))
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
tell("parent" if os.fork() else "child")
time.sleep(600)
"""
OWN = """
import os, sys, time
from pathlib import Path
from embedded.group import ProcessGroup
with ProcessGroup(grace=0.5) as group:
    group.start("waiting", [sys.executable, "-c", *sys.argv[1:]], os.environ)
    time.sleep(600)
"""


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def group(lines: list[str]) -> Iterator[ProcessGroup]:
    with ProcessGroup(grace=0.5, say=lines.append) as group:
        yield group


def reported_process(folder: Path, name: str) -> psutil.Process:
    """The process that wrote its id under this name."""
    wait_for((folder / name).exists)
    return psutil.Process(int((folder / name).read_text()))


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def waiting(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-c", WAIT, str(folder), *words]


def test_a_program_gets_its_environment_and_no_input_and_writes_to_its_log(group: ProcessGroup, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    ask = "import os, sys; print(sorted(os.environ.items()), repr(sys.stdin.read())); print('oh', file=sys.stderr)"
    group.start("asking", [sys.executable, "-S", "-c", ask], {"A": "1", "LC_CTYPE": "C.UTF-8"}, log)
    wait_for(lambda: "oh" in log.read_text())
    assert sorted(log.read_text().splitlines()) == ["[('A', '1'), ('LC_CTYPE', 'C.UTF-8')] ''", "before", "oh"]


def test_stop_ends_programs_with_their_children(group: ProcessGroup, tmp_path: Path) -> None:
    group.start("waiting", waiting(tmp_path), os.environ)
    parent, child = reported_process(tmp_path, "parent"), reported_process(tmp_path, "child")
    group.stop()
    assert gone(parent)
    wait_for(lambda: gone(child), seconds=5)  # killed, which the kernel does in its own time


def test_stop_ends_what_does_not_heed_it_after_the_grace(group: ProcessGroup, tmp_path: Path) -> None:
    group.start("stubborn", waiting(tmp_path, "stubborn"), os.environ)
    processes = [reported_process(tmp_path, "parent"), reported_process(tmp_path, "child")]
    group.stop()
    wait_for(lambda: all(gone(process) for process in processes), seconds=5)


def test_programs_stop_side_by_side(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(4)]
    with ProcessGroup(grace=1) as group:
        for folder in folders:
            folder.mkdir()
            group.start("stubborn", waiting(folder, "stubborn"), os.environ)
        processes = [reported_process(folder, "parent") for folder in folders]
        born = time.monotonic()
        group.stop()
        assert 1 <= time.monotonic() - born < 3
    assert all(gone(process) for process in processes)


@pytest.mark.parametrize("word", ["", "stubborn"])
def test_nothing_outlives_an_owner_that_is_killed(tmp_path: Path, word: str) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWN, WAIT, str(tmp_path), word], cwd=ROOT)
    processes = [reported_process(tmp_path, "parent"), reported_process(tmp_path, "child")]
    tethers = psutil.Process(owner.pid).children()
    owner.kill()
    owner.wait()
    wait_for(lambda: all(gone(process) for process in processes + tethers), seconds=5)


def test_no_program_that_the_owner_starts_holds_the_others_pipes(tmp_path: Path) -> None:
    outlives = OWN.replace(
        "time.sleep", "import subprocess; subprocess.Popen(['sleep', '60'], close_fds=False)\n    time.sleep"
    )
    owner = subprocess.Popen([sys.executable, "-c", outlives, WAIT, str(tmp_path)], cwd=ROOT)
    parent = reported_process(tmp_path, "parent")
    sleep = wait_for(lambda: [child for child in psutil.Process(owner.pid).children() if child.name() == "sleep"])[0]
    owner.kill()
    owner.wait()
    wait_for(lambda: gone(parent), seconds=5)
    assert sleep.is_running()
    sleep.kill()


def test_a_program_that_ends_starts_again_later_each_time(
    group: ProcessGroup, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "SHORTEST", 0.05)
    log = tmp_path / "log"
    group.start("failing", ["sh", "-c", "echo tried; exit 3"], os.environ, log)

    def tried_thrice() -> bool:
        group.watch()
        return log.exists() and log.read_text().count("tried") >= 3 and len(lines) >= 3

    wait_for(tried_thrice)
    assert lines[:3] == [
        "failing ended with status 3; it is restarted in 0.05 s",
        "failing ended with status 3; it is restarted in 0.1 s",
        "failing ended with status 3; it is restarted in 0.2 s",
    ]


def test_waits_grow_to_half_a_minute_and_shrink_after_a_steady_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    program = restarts.Restarts()
    assert program.due()
    waits = []
    for lasted in (0, 0, 0, 0, 0, 0, 59, 60, 0):
        program.started()
        now += lasted
        waits.append(program.ended())
        assert program.ended() is None
        assert not program.due()
        now += waits[-1] or 0
        assert program.due()
    assert waits == [1, 2, 4, 8, 16, 30, 30, 1, 2]


def test_a_killed_program_takes_what_is_left_of_its_group_with_it(group: ProcessGroup, tmp_path: Path) -> None:
    group.start("waiting", waiting(tmp_path), os.environ)
    parent, child = reported_process(tmp_path, "parent"), reported_process(tmp_path, "child")
    parent.kill()
    wait_for(lambda: gone(child), seconds=5)


def test_a_program_that_runs_is_left_alone(group: ProcessGroup, lines: list[str], tmp_path: Path) -> None:
    group.start("waiting", waiting(tmp_path), os.environ)
    parent = reported_process(tmp_path, "parent")
    for _ in range(3):
        group.watch()
    assert (lines, parent.is_running()) == ([], True)


def test_a_program_that_is_not_there_is_reported(tmp_path: Path) -> None:
    lines: list[str] = []
    with ProcessGroup(say=lines.append) as group:
        group.start("missing", ["/no/such/program"], os.environ, tmp_path / "log")
        wait_for(lambda: group.watch() or lines)
    assert lines == ["missing ended with status 127; it is restarted in 1 s"]
    assert (tmp_path / "log").read_text().startswith("/no/such/program can't be started: ")


def tethered(*command: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, tether.__file__, "0.5", *command], stdin=subprocess.PIPE)


@pytest.mark.parametrize(("command", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + signal.SIGKILL)])
def test_a_tether_ends_as_its_command_does(command: str, status: int) -> None:
    with tethered("sh", "-c", command) as process:
        assert process.wait(10) == status


def test_a_tether_leaves_the_terminal_to_its_owner_and_stops_on_sigterm(tmp_path: Path) -> None:
    with tethered(*waiting(tmp_path)) as process:
        parent = reported_process(tmp_path, "parent")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.terminate()
        assert process.wait(10) == 128 + signal.SIGTERM
        assert gone(parent)


def test_a_program_has_the_signals_that_a_shell_would_give_it(group: ProcessGroup, tmp_path: Path) -> None:
    ask = "import signal; print([signal.getsignal(s).name for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)])"
    group.start("asking", [sys.executable, "-c", ask], os.environ, tmp_path / "log")
    wait_for(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text().endswith("\n"))
    assert (tmp_path / "log").read_text() == "['SIG_DFL', 'SIG_DFL', 'SIG_DFL']\n"


def test_a_chosen_port_is_not_chosen_again_by_anybody() -> None:
    port = choose_port("PORT", 0)
    with pytest.raises(EmbeddedError, match=f"PORT {port} is in use"):
        choose_port("PORT", port)
    assert not is_free(port)  # which is what an embedded Redis asks
    script = f"from embedded.ports import choose_port; choose_port('PORT', {port})"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert other.returncode == 1 and f"PORT {port} is in use" in other.stderr
    with socket.create_server((HOST, port)):  # our own program listens there now
        assert not services.accepts(f"http://{HOST}:{port + 1}/", "Bearer x")


def test_a_stranger_on_the_port_is_not_taken_for_ours() -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((HOST, 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert not services.accepts(f"http://{HOST}:{server.server_port}/runs?limit=1", "Bearer ours")
        server.shutdown()
