"""docker-compose.yml, Dockerfile and .env.example checked against the code, without containers; long, since each
service and setting of the file has its check.

The services' commands and health checks are started as processes, with exactly the environment in the file, on this
session's PostgreSQL and Redis.
"""

from __future__ import annotations

import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import tomllib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
import pytest
import redis
import requests
import yaml
from celery import Celery
from psycopg.conninfo import conninfo_to_dict
from redis.backoff import NoBackoff
from redis.retry import Retry

from broker.address import parse
from embedded import postgres as embedded_postgres
from embedded import redis as embedded_redis
from embedded import services
from embedded.ports import HOST, choose_port
from settings import Settings
from tests.system import make_settings, wait_for

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "webhook", "worker", "beat", "flower")
SERVING = ("webhook", "worker", "beat", "flower")
PORTS = {"webhook": "8000", "flower": "5555"}
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Z_]+):(?P<how>[-?])(?P<word>[^}]*)\})")
PATIENCE = 120  # seconds: a busy machine starts five programs slowly

# What the images and libraries read by themselves, and where.
FOREIGN = {
    "POSTGRES_USER": "postgres",
    "POSTGRES_DB": "postgres",
    "POSTGRES_PASSWORD": "postgres",
    "REDISCLI_AUTH": "redis",
    "REMAP_SIGTERM": "worker",
    "FLOWER_BASIC_AUTH": "flower",
}
# What containers have no use for: theirs are fixed, and published as the host's variables say.
FIXED = {"PORT", "FLOWER_PORT"}
# What only some services need; the others are not given it, secrets above all.
ONLY_IN: dict[str, set[str]] = {
    "migrate": set(),
    "webhook": {"WEBHOOK_SECRETS", "API_TOKENS"},
    # It signs outgoing events, and sends the morning mail.
    "worker": {"WEBHOOK_SECRETS", "EVENT_SECRETS", "CONCURRENCY", "REPORT_SMTP_URL", "REPORT_TO"},
    "beat": set(),
    "flower": set(),  # its own FLOWER_BASIC_AUTH
}
ONLY = {"FLOWER_PASSWORD"}.union(*ONLY_IN.values())

REQUIRED = {
    "POSTGRES_PASSWORD": "a1b2c3",
    "REDIS_PASSWORD": "d4e5f6",
    "WEBHOOK_SECRETS": "whsec_" + b64encode(bytes(range(32))).decode(),
    "API_TOKENS": "token-of-the-tests",
    "FLOWER_PASSWORD": "password-of-the-tests",
}


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def given(secrets: Mapping[str, str]) -> dict[str, str]:
    """The example with its secrets filled in, as Compose reads it: values may name others."""
    raw = example() | secrets
    return {name: re.sub(r"\$\{(\w+)\}", lambda found: raw[found[1]], value) for name, value in raw.items()}


def interpolated(value: Any, env: Mapping[str, str]) -> Any:
    """What Compose makes of a value and all that is in it."""
    if isinstance(value, dict):
        return {key: interpolated(each, env) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, env) for each in value]
    return VARIABLE.sub(lambda found: _filled(found, env), value) if isinstance(value, str) else value


def _filled(found: re.Match[str], env: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    given = env.get(found["name"], "")
    if not given and found["how"] == "?":
        raise LookupError(f"{found['name']}: {found['word']}")
    return given or found["word"]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value


def variables() -> dict[str, set[str]]:
    """The variables that the file asks Compose for, each with its ways of asking."""
    ways: dict[str, set[str]] = {}
    for text in strings(COMPOSE):
        for found in VARIABLE.finditer(text):
            if found["name"]:
                ways.setdefault(found["name"], set()).add(found["how"])
    return ways


def filled(name: str) -> dict[str, Any]:
    """A service as it is with .env.example, its required variables filled in."""
    service: dict[str, Any] = interpolated(SERVICES[name], given(REQUIRED))
    return service


def environment(name: str) -> dict[str, str]:
    given: dict[str, str] = filled(name).get("environment", {})
    return given


def seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m)", duration)
    assert found, duration
    return int(found[1]) * {"s": 1, "m": 60}[found[2]]


class Asked(dict[str, str]):
    """An environment that records which variables are read."""

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(given)
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return super().get(key, default)


class Service:
    """A service of ours as its container would run it, but for its addresses."""

    def __init__(
        self, name: str, folder: Path, database_url: str, redis_url: str, programs: Path = Path(sys.executable).parent
    ) -> None:
        self.name = name
        self._spec = filled(name)
        self._folder = folder / name
        self._folder.mkdir()
        self.port = choose_port("PORT", 0) if name in PORTS else 0
        # Beside what the file gives, what the Dockerfile sets, and the ports, which are fixed in containers.
        self.env = {
            **environment(name),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.port),
            "PATH": f"{programs}{os.pathsep}{os.defpath}",
            "SMARTCRM_HOME": str(self._folder),
        }

    def run(self) -> int:
        """The command's status, for a service that ends by itself."""
        self._start()
        return self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _start(self) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._here(word) for word in self._spec["command"]],
                cwd=self._folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> Path:
        return self._folder / "log"

    def is_healthy(self) -> bool:
        """What the health check says, once."""
        test = self._spec["healthcheck"]["test"]
        argv = ["/bin/sh", "-c", test] if isinstance(test, str) else test[1:]
        assert isinstance(test, str) or test[0] == "CMD"
        with subprocess.Popen(
            [self._here(word) for word in argv],
            cwd=self._folder,
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as check:
            try:
                return check.wait(seconds(self._spec["healthcheck"]["timeout"])) == 0
            except subprocess.TimeoutExpired:
                os.killpg(check.pid, signal.SIGKILL)
                return False

    def becomes_healthy(self) -> bool:
        def healthy() -> bool:
            assert self._process.poll() is None, f"{self.name} has ended: {self.log.read_text()}"
            return self.is_healthy()

        return bool(wait_for(healthy, PATIENCE))

    def pause(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def stop(self) -> int:
        """The status after a container's SIGTERM."""
        self._process.terminate()
        return self._process.wait(PATIENCE)

    def _here(self, word: str) -> str:
        if self.name not in PORTS:
            return word
        return word.replace("0.0.0.0", HOST).replace(PORTS[self.name], str(self.port))


def only_those_that_stand_still_are_unhealthy(started: Mapping[str, Service], paused: tuple[str, ...]) -> bool:
    for name in paused:
        started[name].pause()
    with ThreadPoolExecutor() as pool:
        well = [
            pool.submit(service.is_healthy if name in paused else service.becomes_healthy)
            for name, service in started.items()
        ]
    for name in paused:
        started[name].resume()
    return [name for name, reported in zip(started, well, strict=True) if not reported.result()] == list(paused)


def test_commands_start_and_health_checks_tell_who_stands_still(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    assert Service("migrate", tmp_path, database_url, redis_url).run() == 0
    with ExitStack() as running:
        started = {name: running.enter_context(Service(name, tmp_path, database_url, redis_url)) for name in SERVING}
        # Cheap looks first: health checks that are tried over and over would slow down what they wait for.
        control = Celery("tests", changes=parse(redis_url).celery_settings).control
        wait_for(
            lambda: all(accepts(started[name].port) for name in PORTS) and len(control.ping(timeout=0.3)) == 2, PATIENCE
        )

        flower = f"http://{HOST}:{started['flower'].port}/"
        login = b64encode(f"smartcrm:{REQUIRED['FLOWER_PASSWORD']}".encode()).decode()
        assert services.accepts(flower, f"Basic {login}") and not services.accepts(flower, f"Basic {login[:-4]}")

        # Worker and beat each answer for themselves: the other one is up all the while.
        assert only_those_that_stand_still_are_unhealthy(started, ("webhook", "worker", "flower"))
        assert only_those_that_stand_still_are_unhealthy(started, ("beat",))

        with ThreadPoolExecutor() as pool:
            ended = dict(zip(started, pool.map(Service.stop, started.values()), strict=True))
        # 1 is Celery's for a worker's soft shutdown, and for a beat that is stopped while it sends.
        assert {name for name, status in ended.items() if status} <= {"worker", "beat"}
        assert set(ended.values()) <= {0, 1}
        assert not list(tmp_path.glob("*/celerybeat-schedule*"))


def test_flower_serves_under_a_path_prefix(redis_url: str, tmp_path: Path) -> None:
    flower = Service("flower", tmp_path, "postgresql://none/", redis_url)
    flower.env["FLOWER_URL_PREFIX"] = "flower"
    host = f"http://{HOST}:{flower.port}"
    with flower, requests.Session() as browser:
        assert flower.becomes_healthy()
        assert browser.get(f"{host}/flower/").status_code == 401
        browser.auth = ("smartcrm", REQUIRED["FLOWER_PASSWORD"])
        for page in ("", "workers", "tasks", "broker"):
            shown = browser.get(f"{host}/flower/{page}")
            links = re.findall(r'(?:href|src)="(/[^"]*)"', shown.text)
            assert shown.status_code == 200 and len(links) > 10, shown.text
            assert not [link for link in links if not link.startswith("/flower/")]
            for link in {link for link in links if "/static/" in link}:
                assert browser.get(f"{host}{link}").status_code == 200, link
        assert browser.get(f"{host}/workers").status_code == 404


def redis_command(folder: Path, port: int) -> list[str]:
    """The service's command with this machine's Redis, and files in the folder."""
    shell, flags, script = filled("redis")["command"]
    program = embedded_redis.Redis(folder).program()
    script = script.replace("exec redis-server", f"exec {program}").replace("/tmp/redis.conf", f"{folder}/redis.conf")
    script = script.replace("--dir /data", f"--dir {folder}")
    return [shell, flags, f"{script} --bind {HOST} --port {port}"]


def test_redis_does_not_start_without_a_password(tmp_path: Path) -> None:
    done = subprocess.run(
        redis_command(tmp_path, choose_port("PORT", 0)), env={"PATH": os.defpath}, capture_output=True, text=True
    )
    assert done.returncode != 0 and "set REDIS_PASSWORD in .env" in done.stderr


def test_redis_keeps_its_data_and_evicts_nothing(tmp_path: Path) -> None:
    port = choose_port("PORT", 0)
    password = REQUIRED["REDIS_PASSWORD"]
    env = {"PATH": os.defpath} | environment("redis")
    with subprocess.Popen(redis_command(tmp_path, port), env=env, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: accepts(port))
            assert password not in " ".join(psutil.Process(server.pid).cmdline()), "every process list shows it"
            assert (tmp_path / "redis.conf").stat().st_mode & 0o777 == 0o600
            with (
                redis.Redis(HOST, port, retry=Retry(NoBackoff(), 0)) as stranger,
                pytest.raises(redis.AuthenticationError),
            ):
                stranger.ping()
            with redis.Redis(HOST, port, password=password, decode_responses=True) as client:
                reported = client.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
        finally:
            server.terminate()
    assert reported.pop("maxmemory") == str(256 << 20)
    assert reported == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}


def accepts(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((HOST, port), timeout=1).close()
        return True
    return False


def test_postgres_health_check_knows_up_from_down(servers: dict[str, str], tmp_path: Path) -> None:
    programs = embedded_postgres._package() / "pginstall" / "bin"
    check = filled("postgres")["healthcheck"]["test"]

    def is_ready(host: str) -> bool:
        argv = [host if word == "127.0.0.1" else word for word in check[2:]]
        return subprocess.run([programs / check[1], *argv], stdout=subprocess.DEVNULL).returncode == 0

    assert check[:2] == ["CMD", "pg_isready"]
    assert is_ready(str(conninfo_to_dict(servers["DATABASE_URL"])["host"]))
    assert not is_ready(str(tmp_path))


def test_services_are_those_that_the_design_names() -> None:
    assert set(SERVICES) == {"postgres", "redis", *OURS}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {filled(name)["image"] for name in OURS} == {f"smartcrm-analytics:{version}"}
    assert {SERVICES[name]["image"] for name in OURS} == {f"smartcrm-analytics:${{SMARTCRM_VERSION:-{version}}}"}
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["migrate"]
    for name in ("postgres", "redis"):
        assert re.search(r":\d+\.\d+.*@sha256:[0-9a-f]{64}$", SERVICES[name]["image"]), "not pinned"
        assert SERVICES[name]["profiles"] == example()["COMPOSE_PROFILES"].split(), "bundled, and not of one's own"


def test_commands_are_those_of_smartcrm_up(tmp_path: Path) -> None:
    class Listing:
        def __init__(self) -> None:
            self.commands: dict[str, tuple[list[str], Mapping[str, str]]] = {}

        def start(self, name: str, argv: list[str], env: Mapping[str, str], log: Path | None) -> None:
            self.commands[name] = (argv, env)

    listing = Listing()
    settings = make_settings("postgresql://db/", tmp_path, FLOWER_PASSWORD=REQUIRED["FLOWER_PASSWORD"])
    services.start(listing, settings, {})  # type: ignore[arg-type]
    assert set(listing.commands) == set(SERVING)
    for name, (argv, env) in listing.commands.items():
        assert argv[:2] == [sys.executable, "-m"]
        assert [word.replace("0.0.0.0", HOST) for word in filled(name)["command"]] == argv[2:]
        assert env.items() <= environment(name).items()
    assert "0.0.0.0:8000" in SERVICES["webhook"]["command"]
    assert "--address=0.0.0.0" in SERVICES["flower"]["command"]


def test_every_variable_in_a_container_is_read_by_something() -> None:
    settings = Asked({"DATABASE_URL": "postgresql://db/", "REDIS_URL": "redis://redis", **REQUIRED})
    Settings.from_env(settings)
    for name in OURS:
        foreign = {variable for variable, reader in FOREIGN.items() if reader == name}
        assert set(environment(name)) == settings.names - FIXED - (ONLY - ONLY_IN[name]) | foreign | {"SSL_CERT_FILE"}
    for name in ("postgres", "redis"):
        assert set(environment(name)) == {variable for variable, reader in FOREIGN.items() if reader == name}


@pytest.mark.parametrize("name", OURS)
def test_settings_are_right_with_the_example_filled_in(name: str, tmp_path: Path) -> None:
    env = environment(name) | {"SMARTCRM_HOME": str(tmp_path)}
    settings = Settings.from_env(env)
    needed = ("DATABASE_URL", "REDIS_URL", "SMARTCRM_HOME", "CONCURRENCY", *REQUIRED)
    assert settings == Settings.from_env({name: value for name, value in env.items() if name in needed}), (
        "the example's values are not the defaults"
    )
    database, cache = conninfo_to_dict(settings.database_url), urlsplit(settings.redis_url)
    assert (database["host"], cache.hostname) == ("postgres", "redis")
    assert database["user"] == environment("postgres")["POSTGRES_USER"]
    assert database["dbname"] == environment("postgres")["POSTGRES_DB"]
    assert database["password"] == environment("postgres")["POSTGRES_PASSWORD"]
    assert cache.password == environment("redis")["REDISCLI_AUTH"]


def test_servers_of_ones_own_need_no_other_file() -> None:
    own = {"DATABASE_URL": "postgresql://db.example/crm", "REDIS_URL": "redis://redis.example"}
    for name in OURS:
        service = interpolated(SERVICES[name], given(REQUIRED | own))
        assert own.items() <= service["environment"].items()
        servers = [how for other, how in service["depends_on"].items() if other in ("postgres", "redis")]
        assert servers and all(how["required"] is False for how in servers)


def test_every_variable_of_the_file_is_explained_in_the_example() -> None:
    assert not [text for text in strings(COMPOSE) if "$" in VARIABLE.sub("", text)], "a $ that Compose may misread"
    assert set(variables()) | {"COMPOSE_PROFILES"} == set(example())
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = [index for index, line in enumerate(lines) if line and not line.startswith("#")]
    for index in names:
        assert lines[index - 1].startswith("#") or index - 1 in names, f"{lines[index]} has no word of explanation"


def test_secrets_are_required_and_the_example_holds_none() -> None:
    bundled = {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}  # those servers do not start without
    required = {name for name, ways in variables().items() if "?" in ways}
    assert required == set(REQUIRED) - bundled | {"DATABASE_URL", "REDIS_URL"}
    assert not any(example()[name] for name in REQUIRED)
    for name in required:
        with pytest.raises(LookupError, match=f"{name}: .+ .env.example"):
            interpolated(COMPOSE, {**given(REQUIRED), name: ""})


def test_every_container_has_a_fence_around_it() -> None:
    for name in SERVICES:
        service = filled(name)
        assert service["cap_drop"] == ["ALL"] and "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"] and service["read_only"] is True, name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert any(mount.startswith("/tmp") for mount in service["tmpfs"]), name
        assert "stop_grace_period" in service or name == "migrate"
        assert service["networks"] == (["front", "back"] if name in OURS else ["back"]), name
    assert COMPOSE["networks"]["back"] == {"internal": True}


def test_health_checks_are_one_word_and_soon_right() -> None:
    for name in SERVING:
        assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "smartcrm", "health", name]
    for name in (*SERVING, "postgres", "redis"):
        check = SERVICES[name]["healthcheck"]
        assert seconds(check["start_interval"]) < seconds(check["interval"]) and seconds(check["start_period"]) >= 30


def test_only_the_webhook_and_flower_are_published_and_only_here() -> None:
    published = {name: filled(name)["ports"] for name in SERVICES if "ports" in SERVICES[name]}
    assert published == {"webhook": ["127.0.0.1:8000:8000"], "flower": ["127.0.0.1:5555:5555"]}
    assert not [name for name in SERVICES if "network_mode" in SERVICES[name]]


def test_services_start_once_what_they_need_is_well() -> None:
    needs = {
        name: {other: how["condition"] for other, how in SERVICES[name].get("depends_on", {}).items()}
        for name in SERVICES
    }
    ready = {"redis": "service_healthy", "migrate": "service_completed_successfully"}
    assert {name: needs[name] for name in SERVING} == {name: ready for name in SERVING}
    assert needs["migrate"] == {"postgres": "service_healthy"}
    assert {name for name in SERVICES if "healthcheck" not in SERVICES[name]} == {"migrate"}
    assert {name: SERVICES[name]["restart"] for name in SERVICES} == dict.fromkeys(SERVICES, "unless-stopped") | {
        "migrate": "no"
    }
    assert all(SERVICES[name]["init"] for name in OURS)


@pytest.fixture
def celeryconfig(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What celeryconfig.py says with the worker's environment."""
    for variable, value in environment("worker").items():
        monkeypatch.setenv(variable, value)
    return runpy.run_path(str(ROOT / "celeryconfig.py"))


def test_workers_have_time_to_end_and_can_be_many(celeryconfig: dict[str, Any]) -> None:
    grace = seconds(SERVICES["worker"]["stop_grace_period"])
    assert grace >= celeryconfig["worker_soft_shutdown_timeout"] + 10
    assert not [name for name in SERVICES if {"container_name", "hostname"} & SERVICES[name].keys()]
    assert "worker@%h" in SERVICES["worker"]["command"]


def test_a_beat_whose_schedule_stands_still_is_reported_within_minutes(celeryconfig: dict[str, Any]) -> None:
    check = SERVICES["beat"]["healthcheck"]
    noticed = celeryconfig["beat_remote_control_max_tick_age"] + check["retries"] * seconds(check["interval"])
    assert celeryconfig["beat_enable_remote_control"]
    assert noticed <= 180


def test_what_must_last_is_on_named_volumes() -> None:
    mounts = {name: SERVICES[name]["volumes"] for name in SERVICES if "volumes" in SERVICES[name] and name not in OURS}
    assert mounts == {
        "postgres": ["postgres:/var/lib/postgresql"],  # PostgreSQL 18's image refuses …/data
        "redis": ["redis:/data"],
    }
    assert set(COMPOSE["volumes"]) == set(mounts)


def test_files_that_the_example_names_are_mounted_and_a_ca_is_one_variable() -> None:
    for name in OURS:
        assert SERVICES[name]["volumes"] == ["./config:/etc/smartcrm:ro"]
        own = interpolated(SERVICES[name], given(REQUIRED | {"CA_FILE": "/etc/smartcrm/ca.pem"}))["environment"]
        assert own["SSL_CERT_FILE"] == "/etc/smartcrm/ca.pem"
        assert f"SSL_CERT_FILE={environment(name)['SSL_CERT_FILE']}\n" in (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"/etc/smartcrm/[\w.-]+", (ROOT / ".env.example").read_text())) == {
        f"/etc/smartcrm/{file}" for file in ("ca.pem", "redis-ca.pem", "segments.toml")
    }


def test_image_is_pinned_runs_as_nobody_special_and_keeps_no_build_tools() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    stages = [line for line in lines if line.startswith("FROM ")]
    bases = {line.split()[1] for line in stages}
    assert len(bases) == 1, "what is built on one Python does not run on another"
    (argument,) = [line for line in lines[: lines.index(stages[0])] if line.startswith("ARG ")]
    assert re.fullmatch(r"ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", argument)
    assert bases == {"$PYTHON_IMAGE"}
    last = lines[lines.index(stages[-1]) :]
    assert not [line for line in last if "pip" in line or "apt" in line]
    users = [line.split()[1] for line in last if line.startswith("USER ")]
    assert users == ["10001:10001"]
    assert not [line for line in lines if line.startswith("HEALTHCHECK")]


def test_image_gets_all_of_the_project_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages, modules = project["tool"]["setuptools"]["packages"], project["tool"]["setuptools"]["py-modules"]
    rooms = {package.split(".")[0] for package in packages}
    code = {path.parent for room in rooms for path in (ROOT / room).rglob("*.py")}
    assert {".".join(folder.relative_to(ROOT).parts) for folder in code} == set(packages)
    assert {path.stem for path in ROOT.glob("*.py")} == set(modules)

    needed = {
        *rooms,
        *(f"{module}.py" for module in modules),
        "requirements.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    }
    assert {name for name in needed if not is_sent(name)} == set()
    kept_back = (".env", ".git", ".venv", ".smartcrm", "tests", "docs", "secrets.json", "worker/__pycache__")
    assert {name for name in kept_back if is_sent(name)} == set()


def is_sent(name: str) -> bool:
    """Whether .dockerignore lets the file into the build: the last pattern that matches says it."""
    sent = True
    for pattern in (ROOT / ".dockerignore").read_text().splitlines():
        if pattern and not pattern.startswith("#") and fnmatch(name, pattern.lstrip("!").replace("**", "*")):
            sent = pattern.startswith("!")
    return sent
