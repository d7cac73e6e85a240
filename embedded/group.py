"""The process group of `smartcrm up`: each program runs under a tether, so that it ends when we do, even by kill -9."""

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
    """Programs that run until `stop`, or until this process ends; `watch` restarts those that ended by themselves.

    `grace` is the seconds between SIGTERM and SIGKILL; `say` gets a line for each program that has ended.
    """

    def __init__(self, *, grace: float = GRACE, say: Callable[[str], None] | None = None) -> None:
        self._grace = grace
        self._say = say or (lambda line: print(line, file=sys.stderr, flush=True))
        self._programs: list[_Program] = []

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path | None = None) -> None:
        """Start a program with exactly this environment; its output goes to ours, or to the end of the log."""
        program = _Program(name, argv, env, log)
        self._spawn(program)
        self._programs.append(program)

    def watch(self) -> None:
        """Restart programs that have ended, without waiting; has to be called about every second."""
        for program in self._programs:
            status = program.process.poll()
            if status is None:
                continue
            if (wait := program.restarts.ended()) is not None:
                self._say(f"{program.name} ended with status {status}; it is restarted in {wait:g} s")
            if program.restarts.due():
                self._spawn(program)

    def stop(self) -> None:
        """Stop all programs together and wait until they have ended; processes that they leave behind are killed."""
        for program in self._programs:
            self._release(program)
        for program in self._programs:
            program.process.wait()
        self._programs.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self, program: _Program) -> None:
        # Without the package and site-packages: a tether needs neither, and starts faster.
        command = [sys.executable, "-I", "-S", tether.__file__, str(self._grace), *program.argv]
        with program.log.open("ab") if program.log else nullcontext() as log:
            # Only the end of its standard input stops it: Ctrl-C does not reach its new session.
            program.process = subprocess.Popen(
                command, env=program.env, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        program.restarts.started()

    @staticmethod
    def _release(program: _Program) -> None:
        assert program.process.stdin is not None
        program.process.stdin.close()
