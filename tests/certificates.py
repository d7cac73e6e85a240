"""A certificate authority for tests, and a server certificate from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.installed import program


class Certificates:
    """Certificates made by openssl in a folder; the server is `localhost`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.certificate, self.key = (folder / name for name in ("ca.pem", "server.pem", "server.key"))
        openssl = program("openssl")
        self._run(folder, openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                  "-days", "30", "-subj", f"/CN={folder.name} CA", "-keyout", "ca.key", "-out", "ca.pem",
                  "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
        self._run(folder, openssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                  "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")  # fmt: skip
        (folder / "names").write_text("subjectAltName=DNS:localhost\n")
        self._run(folder, openssl, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                  "-CAcreateserial", "-days", "30", "-extfile", "names", "-out", "server.pem")  # fmt: skip

    def redis_lines(self) -> list[str]:
        """Lines for redis.conf."""
        return [
            f"tls-cert-file {self.certificate}",
            f"tls-key-file {self.key}",
            f"tls-ca-cert-file {self.ca}",
            "tls-auth-clients no",
        ]

    def pgbouncer_lines(self) -> str:
        """Lines for pgbouncer.ini: connections without TLS are refused."""
        files = f"client_tls_cert_file = {self.certificate}\nclient_tls_key_file = {self.key}"
        return f"client_tls_sslmode = require\n{files}"

    @staticmethod
    def _run(folder: Path, *command: str) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
