"""Reading text files of any supported compression and encoding as UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from errors import LoadError

BLOCK = 1 << 20
MARKS = (  # UTF-32 first: its byte order mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
Progress = Callable[[int, int], None]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise errors of opening, reading and decompressing a file as LoadError.

    Raises
    ------
    LoadError
        When the file can't be opened, read or decompressed.
    """
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LoadError(f"{path} can't be decompressed: {str(error).rstrip('.')}.") from None
    except OSError as error:
        raise LoadError(f"{path} can't be read: {error.strerror or error}.") from None


def find_encoding(path: Path, given: str | None) -> str:
    """The name of the file's encoding: the given one, else by its byte order mark, else UTF-8.

    Raises
    ------
    LoadError
        When the name is unknown, or the bytes look like UTF-16 without a byte order mark.
    """
    if given is not None:
        try:
            # str.encode refuses codecs that are not text encodings, such as "zip".
            "".encode(given)
        except (LookupError, ValueError):
            raise LoadError(
                f"--encoding is {given!r}, which is not an encoding; examples are utf-8, cp1252 and utf-16."
            ) from None
    with reading(path), _bytes_of(path)[1] as file:
        start = file.read(4096)
    marked = next((name for mark, name in MARKS if start.startswith(mark)), None)
    name = given or marked or "utf-8"
    if codecs.lookup(name).name == "utf-8" and marked == "utf-8-sig":
        return marked
    if codecs.lookup(name).name == "utf-8" and start.count(b"\0") > len(start) / 4:
        order = "be" if start.startswith(b"\0") else "le"
        raise LoadError(f"{path} looks like UTF-16 without a byte order mark; try --encoding utf-16-{order}.")
    return name


def _bytes_of(path: Path) -> tuple[IO[bytes], IO[bytes]]:
    """The file on disk, whose position is the progress, and its decompressed bytes."""
    raw = path.open("rb")
    return raw, cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if path.suffix.lower() == ".gz" else raw


class Utf8Stream(io.RawIOBase):
    """A text file's bytes as UTF-8, from a given line on; line ends are unchanged.

    Reading raises LoadError with the line of the first byte that can't be decoded, or of a zero byte.
    """

    def __init__(self, path: Path, encoding: str, *, after_lines: int = 0, progress: Progress = lambda *_: None):
        self.path, self.encoding = path, encoding
        self.odd_quotes = False  # an odd number of quotation marks so far
        self._raw, binary = _bytes_of(path)
        self._text = io.TextIOWrapper(cast(io.BufferedReader, binary), encoding, newline="")
        self._total, self._progress = path.stat().st_size, progress
        self._left = b""
        try:
            for _ in range(after_lines):
                self._text.readline()
        except UnicodeDecodeError:  # TextIOWrapper decodes in chunks, so beyond these lines
            raise undecodable(path, encoding) from None

    def readable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Close the stream and the file."""
        self._text.close()
        self._raw.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; b"" at the end."""
        while not self._left:
            try:
                with reading(self.path):
                    text = self._text.read(BLOCK)
            except UnicodeDecodeError:
                text = "\0"
            if "\0" in text:
                raise undecodable(self.path, self.encoding) from None
            if not text:
                return b""
            self.odd_quotes ^= text.count('"') % 2 == 1
            self._left = text.encode()
            self._progress(self._raw.tell(), self._total)
        block, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        return block


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """The file as text with its line ends, for the csv module; undecodable bytes become U+FFFD."""
    with reading(path):
        raw, binary = _bytes_of(path)
        with raw, binary, io.TextIOWrapper(cast(io.BufferedReader, binary), encoding, "replace", newline="") as text:
            yield text


def undecodable(path: Path, encoding: str) -> LoadError:
    """The error with the line of the first byte that can't be decoded, or of a zero byte."""
    lines, after_cr = 1, False
    decoder = codecs.getincrementaldecoder(encoding)()
    reason, advice = "a zero byte is not text", ""
    with reading(path), _bytes_of(path)[1] as file:
        ended = False
        while not ended:
            block = file.read(BLOCK)
            ended = not block
            try:
                text = decoder.decode(block, ended)
            except UnicodeDecodeError as error:
                good = codecs.decode(error.object[: error.start], error.encoding, "replace")
                byte = error.object[error.start : error.start + 1].hex()
                reason, advice = f"the byte 0x{byte} is not {encoding.removesuffix('-sig').upper()}", ""
                if encoding.startswith("utf-8"):
                    advice = "; files from Windows often need --encoding cp1252"
                text = good + "\0"
            zero = text.find("\0")
            part = text if zero < 0 else text[:zero]
            # A CR LF may be split between two blocks.
            if after_cr and part.startswith("\n"):
                part = part[1:]
            lines += part.count("\n") + part.count("\r") - part.count("\r\n")
            if zero >= 0:
                break
            after_cr = text.endswith("\r")
    return LoadError(f"{path}, line {lines}: {reason}{advice}; nothing was loaded.")
