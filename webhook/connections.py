"""gunicorn's worker for the webhook: gevent reads requests and writes answers, threads run the application.

A connection takes a greenlet and no thread, so slow clients don't block others. The application is called when the
whole request has been read. The standard library is not monkey-patched.
"""

from __future__ import annotations

import errno
import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from itertools import islice
from typing import Any

from gevent import socket
from gevent.threadpool import ThreadPool
from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.ggevent import GeventWorker
from werkzeug.exceptions import RequestEntityTooLarge

REQUEST_SECONDS = 10.0  # from a request's first byte, or a connection's start, to the last byte of its body
ANSWER_SECONDS = 60.0  # for a client to receive one piece of an answer
LOOK_SECONDS = 1.0  # between an idle connection's checks whether its worker has to stop
LINGER_SECONDS, LINGER_BYTES = 2.0, 1024 * 1024  # read and discarded of a request that is refused unread
MAX_BODY = 64 * 1024  # bytes
STATUS = {
    errors.LimitRequestLine: (414, "uri_too_long"),
    errors.LimitRequestHeaders: (431, "headers_too_large"),
    errors.UnsupportedTransferCoding: (501, "unsupported_transfer_coding"),
    errors.ExpectationFailed: (417, "expectation_failed"),
}
# Errors that the client did not cause.
OURS = (errors.ConfigurationProblem, errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)


class LateBody(Exception):
    """A request's body that has not arrived in time."""


class Connection:
    """A client's socket with time limits.

    A late header ends the connection as if the client had closed it; a late body raises LateBody.
    """

    def __init__(self, worker: Worker, sock: Any) -> None:
        self._worker, self._sock = worker, sock
        self._began: float | None = time.monotonic()
        self._in_body = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def header_read(self) -> None:
        """Note that the header has been read and the body follows."""
        self._in_body = True

    def answered(self) -> None:
        """Note that the request was answered; the next one may begin at any time within gunicorn's keepalive."""
        self._began, self._in_body = None, False

    def recv(self, size: int) -> bytes:
        """Read available bytes; b"" after the time limit."""
        if self._began is None:
            data = self._idle(size)
            self._began = time.monotonic()
            return data
        left = self._began + REQUEST_SECONDS - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._sock.settimeout(left)
            return bytes(self._sock.recv(size))
        except TimeoutError:
            if self._in_body:
                raise LateBody from None
            return b""

    def _idle(self, size: int) -> bytes:
        """Wait for the next request's first bytes; gunicorn closes the connection after its keepalive."""
        while self._worker.alive:
            self._sock.settimeout(LOOK_SECONDS)
            try:
                return bytes(self._sock.recv(size))
            except TimeoutError:
                continue
        return b""

    def close(self) -> None:
        """Close it so that the answer arrives also if the request was not read completely."""
        util.close_graceful(self._sock, LINGER_SECONDS, LINGER_BYTES)

    def send(self, data: bytes) -> int:
        """Send some of the data."""
        self._sock.settimeout(ANSWER_SECONDS)
        return int(self._sock.send(data))

    def sendall(self, data: bytes) -> None:
        """Send all data; a client that does not read it is treated as disconnected."""
        self._sock.settimeout(ANSWER_SECONDS)
        try:
            self._sock.sendall(data)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read its answer") from None


class _Broken(io.RawIOBase):
    """A body that could not be read; it raises the error when the application reads it."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, _: Any) -> int:
        raise self._error


class Threaded:
    """A WSGI application that is called in threads, after the request's body has been read.

    The parts of an answer may be produced by different threads, in the request's context.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], threads: int) -> None:
        self._app, self._pool = app, ThreadPool(threads)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        """Answer one request."""
        environ["wsgi.input"] = _body(environ)
        context = copy_context()

        def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
            return self._pool.apply(context.run, (function, *arguments))

        parts, more, close = in_thread(self._begin, environ, start_response)
        try:
            yield from parts
            while more is not None and (part := in_thread(next, more, None)) is not None:
                yield part
        finally:
            if close is not None:
                in_thread(close)

    def _begin(
        self, environ: dict[str, Any], start_response: Any
    ) -> tuple[list[bytes], Iterator[bytes] | None, Callable[[], None] | None]:
        """The first parts and, if there may be more, their iterator and its close; most answers have one part."""
        answer = self._app(environ, start_response)
        close: Callable[[], None] = getattr(answer, "close", lambda: None)
        more = iter(answer)
        try:
            parts = list(islice(more, 2))
        except BaseException:
            close()
            raise
        if len(parts) > 1:
            return parts, more, close
        close()
        return parts, None, None


def _body(environ: dict[str, Any]) -> io.BufferedIOBase | io.RawIOBase:
    """The request's body, or an object that raises the error when it is read."""
    try:
        if int(environ.get("CONTENT_LENGTH") or 0) > MAX_BODY:
            raise RequestEntityTooLarge
        body = environ["wsgi.input"].read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise RequestEntityTooLarge
    except Exception as error:
        return _Broken(error)
    return io.BytesIO(body)


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker with `Connection` sockets and a `Threaded` application."""

    sockets: list[Any]
    wsgi: Any
    alive: bool

    def patch(self) -> None:
        """Make the listening sockets gevent's, without monkey-patching the process."""
        self.sockets = [
            socket.socket(each.FAMILY, socket.SOCK_STREAM, fileno=each.sock.detach()) for each in self.sockets
        ]

    def load_wsgi(self) -> None:
        """Load the application."""
        super().load_wsgi()
        self.wsgi = Threaded(self.wsgi, self.cfg.threads)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection."""
        super().handle(listener, Connection(self, client), addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Connection, addr: Any) -> None:
        """Serve one request whose header has been read."""
        sock.header_read()
        super().handle_request(listener_name, req, sock, addr)
        sock.answered()

    def handle_error(self, req: Any, client: Connection, addr: Any, exc: BaseException) -> None:
        """Answer a malformed HTTP request with a problem document, as the application does."""
        if not isinstance(exc, errors.ParseException) or isinstance(exc, OURS):
            super().handle_error(req, client, addr, exc)
            return
        from webhook import problems  # which imports this module

        self.log.info("malformed HTTP request: %s", type(exc).__name__)
        status, code = STATUS.get(type(exc), (400, "bad_request"))
        refusal = problems.answer(status, code, problems.unreadable(exc))
        body = refusal.get_data()
        head = f"HTTP/1.1 {refusal.status}\r\nContent-Type: {refusal.content_type}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
