"""`REDIS_URL`, parsed once, so that Celery, redis-py and Sentinel use the same server, login and certificates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

if TYPE_CHECKING:
    import redis

# The prefix of all our keys and channels, so that other programs may use the same database. The braces are a hash tag:
# a server in cluster mode keeps all these keys in one slot.
PREFIX = "{smartcrm}:"

ENCODE = "special characters in its password must be percent-encoded, such as %5B for ["
VERIFY = {"none": "none", "cert_none": "none", "optional": "optional", "cert_optional": "optional"} | {
    "required": "required",
    "cert_required": "required",
}
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True)
class Address:
    """A Redis server, or the sentinels that watch it."""

    hosts: tuple[tuple[str, int], ...]
    database: int
    username: str | None
    password: str | None
    tls_options: tuple[tuple[str, str | bool], ...]  # of redis-py's SSLConnection; none without TLS
    master: str | None  # the master's name in Sentinel; None without Sentinel

    @property
    def tls(self) -> dict[str, str | bool] | None:
        """The TLS options for Celery and redis-py; None without TLS."""
        return dict(self.tls_options) or None

    @property
    def celery_url(self) -> str:
        """The URL for Celery's broker and results; certificates are in `tls`, the master's name in `celery_options`."""
        scheme = "sentinel" if self.master else "rediss" if self.tls else "redis"
        login = f"{quote(self.username or '', safe='')}:{quote(self.password, safe='')}@" if self.password else ""
        urls = [f"{scheme}://{login}{_bracketed(host)}:{port}/{self.database}" for host, port in self.hosts]
        return ";".join(urls)

    @property
    def celery_options(self) -> dict[str, Any]:
        """Transport options for Celery's broker and results."""
        named = {"master_name": self.master} if self.master else {}
        return {"global_keyprefix": PREFIX, **named}

    @property
    def celery_settings(self) -> dict[str, Any]:
        """All settings of a Celery client that does not read celeryconfig.py."""
        return {
            "broker_url": self.celery_url,
            "result_backend": self.celery_url,
            "broker_use_ssl": self.tls,
            "redis_backend_use_ssl": self.tls,
            "broker_transport_options": self.celery_options,
            "result_backend_transport_options": self.celery_options,
        }

    def client(self, *, timeout: float, **options: Any) -> redis.Redis:
        """A redis-py client; each connect, send and receive takes at most `timeout` seconds."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
        from redis.sentinel import Sentinel

        limits: dict[str, Any] = {"socket_connect_timeout": timeout, "socket_timeout": timeout}
        limits["retry"] = Retry(NoBackoff(), 1)  # the server may have closed a pooled connection
        login: dict[str, Any] = {"username": self.username, "password": self.password, "db": self.database}
        if self.master is None:
            host, port = self.hosts[0]
            tls: dict[str, Any] = {"ssl": True, **self.tls} if self.tls else {}
            return redis.Redis(host=host, port=port, **login, **tls, **limits, **options)
        found: redis.Redis = Sentinel(list(self.hosts), sentinel_kwargs=limits).master_for(
            self.master, **login, **limits, **options
        )
        return found


def parse(url: str, ca_file: str | None = None) -> Address:
    """Parse a Redis URL; certificates are verified unless it says `ssl_cert_reqs=none`.

    Raises
    ------
    ValueError
        With what is wrong, as the end of a sentence that begins with the variable's name, and without the value, which
        may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"is not a URL; {ENCODE}") from None
    if parts.scheme not in ("redis", "rediss", "sentinel"):
        raise ValueError("is not a URL that begins with redis://, rediss:// or sentinel://")
    given, _, where = parts.netloc.rpartition("@")
    username, _, password = given.partition(":")
    master, database = _path(parts)
    default_port = 26379 if parts.scheme == "sentinel" else 6379
    hosts = tuple(_host(each, default_port) for each in where.split(","))
    if len(hosts) > 1 and not master:
        raise ValueError("names several hosts, as only a sentinel:// URL may; Redis Cluster is not supported")
    tls = tuple(_tls(parts, ca_file).items())
    return Address(hosts, database, unquote(username) or None, unquote(password) or None, tls, master)


def _path(parts: SplitResult) -> tuple[str | None, int]:
    names = parts.path.strip("/").split("/")
    if parts.fragment:
        raise ValueError(f"holds a #; {ENCODE}")
    master = unquote(names.pop(0)) if parts.scheme == "sentinel" else None
    if master == "":
        raise ValueError("does not name the master that the sentinels watch, as sentinel://host:26379/mymaster does")
    number = names[0] if names else ""
    if len(names) > 1 or not re.fullmatch(r"\d{0,4}", number, re.ASCII):
        raise ValueError(f"does not end in a database number; {ENCODE}")
    return master, int(number or 0)


def _host(text: str, default_port: int) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]]+))(?::(\d{1,5}))?", text, re.ASCII)
    if found is None or int(found[3] or 1) not in range(1, 65_536):
        raise ValueError(f"does not name a host and a port; {ENCODE}")
    return found[1] or found[2], int(found[3] or default_port)


def _tls(parts: SplitResult, ca_file: str | None) -> dict[str, str | bool]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme != "rediss":
        if options or ca_file:
            named = next(iter(options), "REDIS_CA_FILE")
            raise ValueError(f"has no use for {named}, which is for rediss:// URLs; {ENCODE}")
        return {}
    verify = options.pop("ssl_cert_reqs", "required").lower()
    if verify not in VERIFY:
        raise ValueError("has an ssl_cert_reqs that is none of required, optional and none")
    verified: dict[str, str | bool] = {"ssl_cert_reqs": VERIFY[verify], "ssl_check_hostname": verify.endswith("ired")}
    files: dict[str, str | bool] = {name: options.pop(name) for name in FILES if options.get(name)}
    if options:
        raise ValueError(f"has an option {next(iter(options))!r} that is not known")
    if ca_file:
        files["ssl_ca_certs"] = ca_file
    return verified | files


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
