"""Own files: JSON Lines, Parquet and plain text, with licence, generator and language stated."""

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from components.crawl.download import Expected, download
from components.crawl.harvest import Harvest, Place, document, parse_date
from components.crawl.json_lines import decode, read_json_lines, read_lines
from components.crawl.settings import Columns, FilesSettings
from kajiya.engine import progress
from kajiya.errors import KajiyaError

Record = tuple[int, dict[str, Any] | None]

LINES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst")
TEXTS = (".txt", ".txt.gz", ".txt.zst")
READABLE = (*LINES, *TEXTS, ".parquet")


def crawl_files(config: FilesSettings, place: Place, harvest: Harvest) -> None:
    """Every record of every file, as a document `<file>:<line from 0>`."""
    files = [*_matches(config.paths, place.input), *_fetch(config.urls, place)]
    for name, path in progress(files, f"read {harvest.source}"):
        with open(path, "rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        harvest.read(name, digest, path.stat().st_size)
        for number, record in _records(path, config):
            _add(config, harvest, f"{name}:{number}", record)


def _matches(patterns: tuple[str, ...], folder: Path) -> list[tuple[str, Path]]:
    """Files below `folder` by their relative name, in its order."""
    if patterns and not folder.is_dir():
        raise KajiyaError(f"{folder}: a file, not a folder. Name the folder that holds it as `input`.")
    found: dict[str, Path] = {}
    for pattern in patterns:
        if pattern.startswith("/") or ".." in pattern.split("/"):
            raise KajiyaError(f"paths: {pattern}: patterns are relative to {folder}, without `..`.")
        matches = [path for path in folder.glob(pattern) if path.is_file()]
        if not matches:
            raise KajiyaError(f"paths: {pattern} matches no file in {folder}. It holds: {_listing(folder)}.")
        for path in matches:
            if not path.name.endswith(READABLE):
                raise KajiyaError(
                    f"{path}: no known kind of file. Readable are {', '.join(READABLE)}: narrow the pattern "
                    f"{pattern}, or convert the file."
                )
            found[path.relative_to(folder).as_posix()] = path
    return sorted(found.items())


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "nothing"


def _fetch(urls: dict[str, str], place: Place) -> Iterator[tuple[str, Path]]:
    for url, sha256 in urls.items():
        name = PurePosixPath(unquote(urlsplit(url).path)).name
        if not name.endswith(READABLE):
            raise KajiyaError(f"urls: {url}: the address must end in one of {', '.join(READABLE)}.")
        with place.connect(url) as client:
            target = place.work / sha256[:16] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            yield name, download(client, url, target, Expected(algorithm="sha256", digest=sha256)).path


def _records(path: Path, config: FilesSettings) -> Iterator[Record]:
    if path.name.endswith(LINES):
        return read_json_lines(path)
    if path.name.endswith(".parquet"):
        return _parquet_rows(path, config.columns)
    return _texts(path, config)


def _texts(path: Path, config: FilesSettings) -> Iterator[Record]:
    """A plain text file has no columns: its name is the title of a whole file."""
    lines = ((number, decode(line, path, number)) for number, line in read_lines(path))
    if config.text_unit == "line":
        for number, line in lines:
            yield number, {config.columns.text: line.rstrip("\r\n")}
    else:
        record = {config.columns.text: "".join(line for _, line in lines)}
        if config.columns.title:
            record[config.columns.title] = path.name.partition(".")[0]
        yield 0, record


def _parquet_rows(path: Path, columns: Columns) -> Iterator[Record]:
    wanted = [name for name in columns.model_dump().values() if name]
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in wanted if name not in file.schema_arrow.names]
            if missing:
                raise KajiyaError(
                    f"{path.name}: no column {', '.join(missing)}. It has {', '.join(file.schema_arrow.names)}: "
                    "say in `columns` which holds what."
                )
            number = 0
            for batch in file.iter_batches(batch_size=1000, columns=wanted):
                for row in batch.to_pylist():
                    yield number, row
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise KajiyaError(f"{path.name}: not a readable Parquet file ({error}). Fetch it again.") from error


def _add(config: FilesSettings, harvest: Harvest, native_id: str, record: dict[str, Any] | None) -> None:
    columns = config.columns.model_dump(exclude_none=True)
    name, _, number = native_id.rpartition(":")
    where = f"{name}: record {int(number) + 1}"  # ids count from 0, people and editors from 1
    if record is None:  # a blank line
        record = {config.columns.text: ""}
    if config.columns.text not in record:
        raise KajiyaError(
            f"{where}: no `{config.columns.text}` in this record. It has {', '.join(record) or 'nothing'}: "
            "say in `columns: {text: ...}` which key holds the text."
        )
    found = {field: _value(record, column, field, where) for field, column in columns.items()}
    found["date"] = parse_date(found.get("date"), where)
    text = found.pop("text") or ""
    provenance = ("license", "generator", "language")
    found |= {field: found.get(field) or getattr(config, field) or "" for field in provenance}
    unstated = next((field for field in provenance if not found[field]), None)
    reason = f"no_{unstated}" if unstated and text.strip() else None
    harvest.add(document(native_id, text, **found), reason)


def _value(record: dict[str, Any], column: str, field: str, where: str) -> Any:
    value = record.get(column)
    if value is not None and field != "date" and not isinstance(value, str):
        raise KajiyaError(f"{where}: `{column}` is {type(value).__name__}, not text.")
    return value
