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

import numpy as np

from errors import LoadError

BLOCK = 1 << 20
MARKS = (  # UTF-32 first: its byte order mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
ARCHIVES = {  # by the first bytes
    b"\x1f\x8b": "compressed by gzip; its name should end in .gz",
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV",
    b"PAR1": "Parquet; its name should end in .parquet",
}
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
        When the name is unknown or is not that of the byte order mark, or the bytes look like UTF-16 without a mark or
        like another kind of file.
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
    for magic, advice in ARCHIVES.items():
        if start.startswith(magic):
            raise LoadError(f"{path} is not text, but {advice}.")
    marked = next((name for mark, name in MARKS if start.startswith(mark)), None)
    if marked is not None:
        family = marked.removesuffix("-sig")
        if given is not None and not codecs.lookup(given).name.startswith(family):
            raise LoadError(f"{path} begins with the byte order mark of {family.upper()}, but --encoding is {given}.")
        return marked
    name = codecs.lookup(given or "utf-8").name
    if name in ("utf-8", "utf-16") and start.count(b"\0") > len(start) / 4:
        order = "be" if start.startswith(b"\0") else "le"
        raise LoadError(f"{path} looks like UTF-16 without a byte order mark; try --encoding utf-16-{order}.")
    if name in ("utf-16", "utf-32") and start:
        raise LoadError(f"{path} has no byte order mark; try --encoding {name}-le or {name}-be, or leave it out.")
    return given or name


def _bytes_of(path: Path) -> tuple[IO[bytes], IO[bytes]]:
    """The file on disk, whose position is the progress, and its decompressed bytes."""
    raw = path.open("rb")
    return raw, cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if path.suffix.lower() == ".gz" else raw


class Quotes:
    """Whether all quotation marks so far are where CSV has them: around fields, or doubled within them.

    Every second mark closes a field, or is the first of a doubled one. If one of another kind is found, such as an inch
    sign, this can't tell: the csv module can.
    """

    def __init__(self, delimiter: str) -> None:
        beside = np.zeros(256, bool)
        beside[np.frombuffer(f'{delimiter}\r\n"'.encode(), np.uint8)] = True
        self._beside, self._before, self._opened, self.good = beside, b"\n", False, True

    def add(self, block: bytes) -> None:
        """Check a block of UTF-8, up to its last byte."""
        data = self._before + block
        self._before = data[-2:]
        if not self.good or b'"' not in data[1:-1]:
            return
        codes = np.frombuffer(data, np.uint8)
        places = np.flatnonzero(codes[1:-1] == ord('"')) + 1
        closing = (np.arange(len(places)) + self._opened) % 2 == 1
        self.good = bool(self._beside[codes[np.where(closing, places + 1, places - 1)]].all())
        self._opened ^= len(places) % 2 == 1

    def ended(self) -> bool:
        """Check the last byte; returns whether all are good and closed."""
        self.add(b"\n")
        return self.good and not self._opened


class Utf8Stream(io.RawIOBase):
    """A text file's bytes as UTF-8, from a given line on; line ends are unchanged.

    Reading raises LoadError with the line of the first byte that can't be decoded, or of a zero byte.
    """

    def __init__(
        self,
        path: Path,
        encoding: str,
        *,
        delimiter: str = ",",
        after_lines: int = 0,
        progress: Progress = lambda *_: None,
    ):
        self.path, self.encoding = path, encoding
        self.quotes = Quotes(delimiter)
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
            self._left = text.encode()
            self.quotes.add(self._left)
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
