"""Read JSON Lines, plain or compressed, with errors that name file and line."""

import codecs
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa

from components.crawl.unpack import open_gzip
from kajiya.errors import KajiyaError


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Line numbers from 0 with their objects; None for a blank line.

    Raises KajiyaError for a line that is not a JSON object, is not UTF-8, or a cut-off archive.
    """
    for number, whole_line in read_lines(path):
        line = whole_line.removeprefix(codecs.BOM_UTF8) if number == 0 else whole_line
        if not line.strip():
            yield number, None
            continue
        try:
            record = orjson.loads(line.rstrip(b"\r\n"))
        except orjson.JSONDecodeError as error:
            record = _as_python_writes(decode(line, path, number))
            if record is None:
                raise KajiyaError(
                    f"{path.name}: line {number + 1}: invalid JSON at column {error.colno}: {error.msg}. Repair or "
                    "remove the line, or fetch the file again."
                ) from None
        if not isinstance(record, dict):
            raise KajiyaError(
                f"{path.name}: line {number + 1}: expected a JSON object, found {type(record).__name__}."
            )
        yield number, record


def _as_python_writes(line: str) -> Any:
    """The object of a line with what Python's json writes, though no standard knows it: NaN, Infinity, and lone
    surrogates, which are dropped (neither UTF-8 nor Arrow holds them). None for a line that is no JSON there either.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return record
    return {_without_surrogates(key): _without_surrogates(value) for key, value in record.items()}


def _without_surrogates(value: Any) -> Any:
    return _SURROGATE.sub("", value) if isinstance(value, str) else value


_SURROGATE = re.compile("[\ud800-\udfff]")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers from 0 with the raw lines of a plain, .gz or .zst file."""
    number = -1
    try:
        with _open(path) as handle:
            for number, line in enumerate(handle):
                yield number, line
    except (EOFError, zlib.error) as error:
        raise KajiyaError(
            f"{path.name}: the archive is cut off or damaged after line {number + 1} ({error}). Fetch it again."
        ) from error


def read_bytes(path: Path) -> bytes:
    """All of a plain, .gz or .zst file."""
    return b"".join(line for _, line in read_lines(path))


def decode(line: bytes, path: Path, number: int) -> str:
    """A raw line as text. `number` counts from 0."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KajiyaError(
            f"{path.name}: line {number + 1}: invalid UTF-8 at byte {error.start} of the line "
            f"(0x{line[error.start]:02x}). Convert the file to UTF-8."
        ) from None


def _open(path: Path) -> BinaryIO:
    if path.name.endswith(".gz"):
        return open_gzip(path)
    if path.name.endswith(".zst"):
        return _ZstLines(path)
    return open(path, "rb")


class _ZstLines:
    """Lines of a zstd file; Arrow streams it, but has no lines."""

    def __init__(self, path: Path) -> None:
        self.stream = pa.input_stream(str(path), compression="zstd")

    def __enter__(self) -> "_ZstLines":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        while block := self._block():
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield line + b"\n"
        if rest:
            yield rest

    def _block(self) -> bytes:
        try:
            return self.stream.read(1 << 20)
        except OSError as error:  # Arrow's word for a truncated or damaged stream
            raise EOFError(str(error)) from error
