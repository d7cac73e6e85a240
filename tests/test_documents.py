"""The documents' commands checked against the command line and the compose file; those for containers are also run;
long, since each document has its checks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import psycopg
import pytest
import yaml

import cli.commands  # noqa: F401  # they are the group's from here on
from cli.app import cli as group
from embedded.postgres import _package
from settings import Settings
from tests.builders import plain_orders
from tests.documents import DOCUMENTS, ROOT, Command, blocks, commands, lines, named, section
from tests.installed import program
from tests.redis_servers import server
from tests.replicas import Replica, server_folder
from tests.system import rfm_segments
from tests.test_compose import ONLY_IN, OURS, REQUIRED, SERVICES, Service, environment

# What Compose 2.26 knows of each sub-command, as far as the documents use it, with the number of words that follow.
FLAGS: dict[str, dict[str, int]] = {
    "up": {"--build": 0, "--detach": 0, "--wait": 0},
    "run": {"--rm": 0, "--build": 0, "--volume": 1},
    "exec": {"-T": 0},
    "stop": {},
}
PROGRAMS = {"postgres": {"pg_dump", "pg_restore", "createdb", "dropdb", "psql"}, "redis": {"redis-cli"}}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
README = (ROOT / "README.md").read_text()


def fault_of(command: Command) -> str | None:
    """What is wrong with a command, or None."""
    words = [word for word in command.words if word != "export"]
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if not words:
        return None
    if words[:2] == ["docker", "compose"]:
        return fault_of_compose(words[2:])
    if Path(words[0]).name == "smartcrm":
        return fault_of_smartcrm(words[1:])
    if words[0] == "make":
        targets = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
        return next((f"no target {word}" for word in words[1:] if word not in targets and "=" not in word), None)
    if words[0] == "cp":
        return None if (ROOT / words[1]).is_file() else f"no file {words[1]}"
    if words[0] == "eval":
        inner = words[1].removeprefix("$(").removesuffix(")")
        return next((fault for each in commands(inner) if (fault := fault_of(each))), None)
    return None if words[0] in ("curl", "redis-cli", "xargs") else f"unknown program {words[0]}"


def fault_of_smartcrm(words: Sequence[str]) -> str | None:
    try:
        with group.make_context("smartcrm", list(words)) as context:
            name, command, rest = group.resolve_command(context, list(words))
            assert command is not None
            with command.make_context(name, rest, parent=context):
                return None
    except click.ClickException as fault:
        return fault.format_message()


def fault_of_compose(words: Sequence[str]) -> str | None:
    action, *rest = words
    if action not in FLAGS:
        return f"unknown sub-command {action}"
    while rest and rest[0].startswith("-"):
        if rest[0] not in FLAGS[action]:
            return f"{action} has no {rest[0]}"
        rest = rest[1 + FLAGS[action][rest[0]] :]
    services = rest if action in ("up", "stop") else rest[:1]
    if unknown := [name for name in services if name not in SERVICES]:
        return f"no service {unknown[0]}"
    if action in ("up", "stop"):
        return None
    service, *inner = rest
    if not inner:
        return None if action == "run" else "exec needs a command"
    if inner[0] == "smartcrm" and service in OURS:
        secret = {"sign": "WEBHOOK_SECRETS", "events": "EVENT_SECRETS"}.get(inner[1])
        if secret and secret not in ONLY_IN[service]:
            return f"{service} is not given {secret}"
        return fault_of_smartcrm(inner[1:])
    return None if inner[0] in PROGRAMS.get(service, ()) else f"{service} has no {inner[0]}"


def typed() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        for block in blocks(document.read_text()):
            for line in lines(block):
                yield document.name, line


@pytest.mark.parametrize(("document", "line"), list(typed()), ids=lambda value: value[:40])
def test_a_line_to_type_is_right(document: str, line: str) -> None:
    assert [fault for command in commands(line) if (fault := fault_of(command))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_commands_in_sentences_are_right(document: Path) -> None:
    for said in named(document.read_text()):
        words = [word for word in re.sub(r"[\[\]|]", " ", said).split() if word != "…"]
        if words[0] == "docker":
            assert fault_of_compose(words[2:]) is None, said
            continue
        command = group.commands.get(words[1])
        assert command is not None, said
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= options, said


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("docker compose exec -T db pg_dump > smartcrm.dump", "no service db"),
        ("docker compose up --detach --wait workers", "no service workers"),
        ("docker compose exec postgres redis-cli flushall", "postgres has no redis-cli"),
        ("docker compose run --remove migrate", "run has no --remove"),
        ("docker compose restart", "unknown sub-command restart"),
        ("docker compose exec flower smartcrm sign", "flower is not given WEBHOOK_SECRETS"),
        ("docker compose exec worker smartcrm recompute --wat", "No such option"),
        (".venv/bin/smartcrm load --order orders.csv", "No such option"),
        ('eval "$(.venv/bin/smartcrm signed)"', "No such command"),
        ("cp env.example .env", "no file env.example"),
        ("make tests", "no target tests"),
        ("smartcrm migrate && smartcrm health database", "is not one of"),
    ],
)
def test_a_wrong_line_is_found(line: str, fault: str) -> None:
    assert fault in str([fault_of(command) for command in commands(line)])


class Containers:
    """What `docker compose` does with the documents' lines, with the services' own programs as processes."""

    def __init__(self, folder: Path, postgres: Replica, redis_port: int) -> None:
        self.folder = folder
        self.database_url = f"postgresql://smartcrm@127.0.0.1:{postgres.port}/smartcrm"
        self.redis_url = f"redis://:{REQUIRED['REDIS_PASSWORD']}@127.0.0.1:{redis_port}/0"
        self._ports = {"postgres": postgres.port, "redis": redis_port}
        self._made = 0
        self._running: dict[str, tuple[Service, ExitStack]] = {}

    def type(self, line: str) -> str:
        """Do a line; what it printed."""
        (command,) = commands(line)
        words = list(command.words)
        if words[0] == "cp":
            return str(shutil.copy(ROOT / words[1], self.folder / words[2]))
        assert words[:2] == ["docker", "compose"], line
        action, *rest = words[2:]
        volumes: dict[str, str] = {}
        while rest and rest[0].startswith("-"):
            count = FLAGS[action][rest[0]]
            if rest[0] == "--volume":
                outside, inside, _ = rest[1].split(":")
                volumes[inside] = outside.replace("$PWD", str(self.folder))
            rest = rest[1 + count :]
        if action == "stop":
            for name in rest:
                self._stop(name)
            return ""
        if action == "up":
            return self._up(rest or list(OURS))
        service, *inner = rest
        inner = inner or list(SERVICES[service]["command"])
        for inside, outside in volumes.items():
            inner = [word.replace(f"{inside}/", f"{outside}/") for word in inner]
        return self._run(service, inner, command, new=action == "run")

    def close(self) -> None:
        for name in list(self._running):
            self._stop(name)

    def _up(self, names: Sequence[str]) -> str:
        """The services that run not yet, with those that they need, once they are healthy."""
        migrated = self._service("migrate")
        assert migrated.run() == 0, migrated.log.read_text()
        for name in names:
            if name != "migrate" and name not in self._running:
                stack = ExitStack()
                self._running[name] = stack.enter_context(self._service(name)), stack
        for service, _ in self._running.values():
            assert service.becomes_healthy()
        return " ".join(self._running)

    def _service(self, name: str) -> Service:
        self._made += 1
        folder = self.folder / f"container-{self._made}"
        folder.mkdir()
        return Service(name, folder, self.database_url, self.redis_url)

    def _stop(self, name: str) -> None:
        service, stack = self._running.pop(name)
        with stack:
            service.stop()

    def _run(self, service: str, words: list[str], command: Command, *, new: bool) -> str:
        if service in self._ports:
            env = environment(service) | {"PATH": os.defpath}
            if service == "postgres":
                env |= {"PGHOST": "127.0.0.1", "PGPORT": str(self._ports[service])}
                words[0] = str(_package() / "pginstall18" / "bin" / words[0])
            else:
                words[:1] = [program(words[0]), "-p", str(self._ports[service])]
        else:
            assert new or service in self._running, f"{service} does not run"
            env = self._service(service).env
        source = (self.folder / command.source).read_bytes() if command.source else b""
        done = subprocess.run(words, env=env, input=source, capture_output=True, timeout=300)
        assert done.returncode == 0, (words, done.stderr.decode())
        if command.target:
            (self.folder / command.target).write_bytes(done.stdout)
        return done.stdout.decode(errors="replace")


@pytest.fixture
def containers(servers: dict[str, str], tmp_path: Path) -> Iterator[Containers]:
    """Beside the session's servers, since the lines drop a database and empty a Redis."""
    with server_folder() as folder, server(tmp_path, f"requirepass {REQUIRED['REDIS_PASSWORD']}") as port:
        postgres = Replica(folder, "postgres")
        postgres.make()
        postgres.start()
        opened = Containers(tmp_path, postgres, port)
        try:
            with psycopg.connect(postgres.url, autocommit=True) as admin:
                admin.execute("CREATE ROLE smartcrm SUPERUSER LOGIN")
                admin.execute("CREATE DATABASE smartcrm OWNER smartcrm")
            yield opened
        finally:
            opened.close()
            postgres.stop("immediate")


@pytest.mark.long
def test_the_container_sections_do_what_they_say_line_by_line(containers: Containers) -> None:
    """Start, load, compute; upgrade; back up; change data; restore."""
    url, given = containers.database_url, containers.folder / "orders"
    given.mkdir()
    files = {"fact_transactions": "orders.csv", "fact_transaction_items": "lines.csv", "dim_menu_items": "menu.csv"}
    for table, frame in plain_orders(40).items():
        frame.to_csv(given / files[table], index=False)

    copy, up, load, recompute = only_block(section(README, "With containers"))
    containers.type(copy)
    assert (containers.folder / ".env").read_text() == (ROOT / ".env.example").read_text()
    for line in (up, load, recompute):
        containers.type(line)
    before = rfm_segments(url)
    assert len(before) == 40

    for line in only_block(section(OPERATIONS, "Upgrading")):
        containers.type(line)

    (backup,), back = map(lines, blocks(section(OPERATIONS, "Backup and restore")))
    containers.type(backup)
    with psycopg.connect(url) as crm:
        crm.execute("DELETE FROM fact_transactions WHERE transaction_id > 30")
    containers.type(recompute)
    assert len(rfm_segments(url)) == 30
    for line in back:
        containers.type(line)
    assert rfm_segments(url).equals(before)


def test_secrets_may_be_files(tmp_path: Path) -> None:
    (block,) = blocks(section(OPERATIONS, "Containers"), "yaml")
    override = yaml.safe_load(block)
    for name, service in override["services"].items():
        env = environment(name) | {"SMARTCRM_HOME": str(tmp_path / "home")}
        expected = Settings.from_env(env)
        for secret in service["secrets"]:
            assert override["secrets"][secret] == {"file": f"./secrets/{secret}"}
            (tmp_path / secret).write_text(env[secret.upper()])
        env |= {key: value.replace("/run/secrets", str(tmp_path)) for key, value in service["environment"].items()}
        assert not any(env[secret.upper()] for secret in service["secrets"])
        assert Settings.from_env(env) == expected


def only_block(text: str) -> list[str]:
    """The lines to type of a section with one code block."""
    (block,) = blocks(text)
    return lines(block)
