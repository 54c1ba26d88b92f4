"""Own files: JSON Lines, Parquet, plain text and web archives, with licence, generator and language stated.

Files are read in parallel, batch by batch; a batch whose documents are in the work folder is not read
again after a crash.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from components.crawl.fetched import Expected
from components.crawl.harvest import Harvest, Place, is_saved
from components.crawl.http import shown
from components.crawl.json_lines import read_bytes, read_json_lines
from components.crawl.own_records import RecordReader
from components.crawl.settings import Columns, FilesSettings
from components.crawl.stores import fetch, list_matches
from components.crawl.text_encoding import UndecodableError, decode_as, decode_japanese
from components.crawl.web_archives import read_archive
from kajiya.engine import map_shards
from kajiya.errors import KajiyaError

# Number from 0, fields by column, why it is no document, or None, and what says so.
Record = tuple[int, dict[str, Any] | None, str | None, str]

LINES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst")
TEXTS = (".txt", ".txt.gz", ".txt.zst")
ARCHIVES = (".warc", ".warc.gz", ".wet", ".wet.gz")
READABLE = (*LINES, *TEXTS, *ARCHIVES, ".parquet")
# Files of this disk that one worker reads at a time; one from elsewhere is a batch of its own.
BATCH_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class File:
    """One file of the source: the name in its documents' ids, where it lies, and its hash if told."""

    name: str
    address: str
    sha256: str | None = None


@dataclass(frozen=True)
class Batch:
    """Files for one worker, with all that it needs to know."""

    config: FilesSettings
    source: str
    files: tuple[File, ...]
    saved: Path
    raw: Path


def crawl_files(config: FilesSettings, place: Place, harvest: Harvest) -> None:
    """Every record of every file, as a document `<file>:<line from 0>`."""
    groups = _batches(_distinct([*_matches(config.paths, place.input), *_told(config.urls)]))
    batches = [
        Batch(config, harvest.source, tuple(group), place.work / "read" / f"{number:05d}", place.work / "raw")
        for number, group in enumerate(groups)
    ]
    for saved in map_shards(read_batch, batches, f"read {harvest.source}"):
        harvest.take(saved)


def read_batch(batch: Batch) -> Path:
    """The folder that holds the batch's documents."""
    if is_saved(batch.saved):
        return batch.saved
    harvest = Harvest(batch.source, batch.saved)
    for file in batch.files:
        raw = batch.raw / batch.saved.name / PurePosixPath(file.name).name
        raw.parent.mkdir(parents=True, exist_ok=True)
        expected = Expected(algorithm="sha256", digest=file.sha256) if file.sha256 else None
        fetched = fetch(file.address, raw, expected)
        harvest.read(file.name, fetched.sha256, fetched.bytes)
        try:
            reader = RecordReader(batch.config, file.name, is_archive=file.name.endswith(ARCHIVES))
            for number, record, reason, detail in _records(fetched.path, batch.config):
                row, why, what = reader.document(number, record)
                harvest.add(row, reason or why, detail if reason else what)
        finally:
            if fetched.path == raw:  # not a file of this disk
                fetched.forget()
    harvest.save()
    return batch.saved


def _batches(files: list[File]) -> Iterator[list[File]]:
    group: list[File] = []
    size = 0
    for file in files:
        bytes_here = BATCH_BYTES if "://" in file.address else Path(file.address).stat().st_size
        if group and size + bytes_here > BATCH_BYTES:
            yield group
            group, size = [], 0
        group.append(file)
        size += bytes_here
    if group:
        yield group


def _distinct(files: list[File]) -> list[File]:
    """The files, each once. Raises KajiyaError for two of one name: their documents would have the same ids."""
    found: dict[str, File] = {}
    for file in files:
        other = found.setdefault(file.name, file)
        if other.address != file.address:
            raise KajiyaError(
                f"{shown(other.address)} and {shown(file.address)}: both are named {file.name} in this source, so their "
                "documents would have the same ids. Rename one, or make two sources of them."
            )
    return list(found.values())


def _matches(patterns: tuple[str, ...], folder: Path) -> list[File]:
    """Files that the patterns name, below `folder` or in a store, by their names' order."""
    found: list[File] = []
    for pattern in patterns:
        matches = _in_store(pattern) if "://" in pattern else _in_folder(pattern, folder)
        for file in matches:
            if not file.name.endswith(READABLE):
                raise KajiyaError(
                    f"{file.address}: no known kind of file. Readable are {', '.join(READABLE)}: narrow the pattern "
                    f"{pattern}, or convert the file."
                )
            found.append(file)
    return sorted(found, key=lambda file: file.name)


def _in_store(pattern: str) -> list[File]:
    names = list_matches(pattern)
    if not names:
        raise KajiyaError(f"paths: {shown(pattern)} matches no file.")
    return [File(name.partition("://")[2], name) for name in names]


def _in_folder(pattern: str, folder: Path) -> list[File]:
    if not folder.is_dir():
        raise KajiyaError(f"{folder}: a file, not a folder. Name the folder that holds it as `input`.")
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise KajiyaError(f"paths: {pattern}: patterns are relative to {folder}, without `..`.")
    found = list(folder.glob(pattern))
    if gone := sorted(path for path in found if path.is_symlink() and not path.exists()):
        raise KajiyaError(
            f"{gone[0]}: a symbolic link whose target {gone[0].readlink()} is missing. Bring the file back, or remove "
            "the link."
        )
    matches = [path for path in found if path.is_file()]
    if not matches:
        raise KajiyaError(f"paths: {pattern} matches no file in {folder}. It holds: {_listing(folder)}.")
    return [File(path.relative_to(folder).as_posix(), str(path)) for path in matches]


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "nothing"


def _told(urls: dict[str, str]) -> Iterator[File]:
    for url, sha256 in urls.items():
        name = PurePosixPath(unquote(urlsplit(url).path)).name
        if not name.endswith(READABLE):
            raise KajiyaError(f"urls: {shown(url)}: the address must end in one of {', '.join(READABLE)}.")
        yield File(name, url, sha256)


def _records(path: Path, config: FilesSettings) -> Iterator[Record]:
    if path.name.endswith(ARCHIVES):
        yield from read_archive(path)
        return
    if path.name.endswith(LINES):
        found = read_json_lines(path)
    elif path.name.endswith(".parquet"):
        found = _parquet_rows(path, config.columns)
    else:
        found = _texts(path, config)
    for number, record in found:
        yield number, record, None, ""


def _texts(path: Path, config: FilesSettings) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """A plain text file has no columns: its name is the title of a whole file."""
    data = read_bytes(path)
    try:
        text = decode_japanese(data) if config.encoding == "detect" else decode_as(data, config.encoding)
    except UndecodableError as error:
        raise KajiyaError(
            f"{path.name}: {error}. Convert the file to UTF-8, or say its `encoding` in the settings."
        ) from None
    if config.text_unit == "line":
        for number, line in enumerate(text.removesuffix("\n").split("\n")):
            yield number, {config.columns.text: line.rstrip("\r")}
    else:
        record = {config.columns.text: text}
        if config.columns.title:
            record[config.columns.title] = path.name.partition(".")[0]
        yield 0, record


def _parquet_rows(path: Path, columns: Columns) -> Iterator[tuple[int, dict[str, Any] | None]]:
    number = 0
    wanted = [name for name in columns.model_dump().values() if name]
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in wanted if name not in file.schema_arrow.names]
            if missing:
                raise KajiyaError(
                    f"{path.name}: no column {', '.join(missing)}. It has {', '.join(file.schema_arrow.names)}: "
                    "say in `columns` which holds what."
                )
            for batch in file.iter_batches(batch_size=1000, columns=wanted):
                for row in batch.to_pylist():
                    yield number, row
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise KajiyaError(
            f"{path.name}: not a readable Parquet file after record {number} ({error}). Fetch it again."
        ) from error
