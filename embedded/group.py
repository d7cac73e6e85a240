"""The local process group of `smartcrm up`: programs on tethers, so that none outlives us, even after a kill -9."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from embedded import tether
from embedded.restarts import Restarts

GRACE = 15.0  # seconds


@dataclass
class _Program:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path | None
    restarts: Restarts = field(default_factory=Restarts)
    process: subprocess.Popen[bytes] = field(init=False)  # the tether's


class ProcessGroup:
    """Programs that run until `stop`, or until this process ends; `watch` starts again those that ended by themselves.

    `grace` is how many seconds a program has between SIGTERM and SIGKILL; `say` gets one line for each end.
    """

    def __init__(self, *, grace: float = GRACE, say: Callable[[str], None] | None = None) -> None:
        self._grace = grace
        self._say = say or (lambda line: print(line, file=sys.stderr, flush=True))
        self._programs: list[_Program] = []

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path | None = None) -> None:
        """Start a program with exactly this environment; it writes where we do, or at the end of the log."""
        program = _Program(name, argv, env, log)
        self._spawn(program)
        self._programs.append(program)

    def watch(self) -> None:
        """Look after the programs, without waiting: to be called every second or so."""
        for program in self._programs:
            status = program.process.poll()
            if status is None:
                continue
            if (wait := program.restarts.ended()) is not None:
                self._say(f"{program.name} ended with status {status}; it starts again in {wait:g} s")
            if program.restarts.due():
                self._spawn(program)

    def stop(self) -> None:
        """Ask all programs at once to end, and wait until they have; what they left running has been killed."""
        for program in self._programs:
            self._let_go(program)
        for program in self._programs:
            program.process.wait()
        self._programs.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self, program: _Program) -> None:
        # As a file and without site-packages: a tether needs neither, and starts in no time.
        command = [sys.executable, "-I", "-S", tether.__file__, str(self._grace), *program.argv]
        with program.log.open("ab") if program.log else nullcontext() as log:
            # Its input is the only thing that ends it: no Ctrl-C reaches a session of its own.
            program.process = subprocess.Popen(
                command, env=program.env, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        program.restarts.started()

    @staticmethod
    def _let_go(program: _Program) -> None:
        assert program.process.stdin is not None
        program.process.stdin.close()
