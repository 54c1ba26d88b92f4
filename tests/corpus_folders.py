"""Write a few documents as a dataset, and read back what a stage made of them."""

from collections.abc import Iterable
from pathlib import Path

from kajiya.records import REJECTED
from kajiya.shards import read_dataset, write_dataset


def document(name: str, text: str, source: str = "web") -> dict:
    return {
        "id": f"{source}:{name}",
        "source": source,
        "text": text,
        "license": "CC0-1.0",
        "generator": "human",
        "language": "ja",
    }


def write_source(folder: Path, texts: dict[str, str], shard_bytes: int = 1 << 20) -> Path:
    """Documents by name; the folder's name is their source."""
    rows = (document(name, text, folder.name) for name, text in texts.items())
    write_dataset(rows, folder, shard_bytes=shard_bytes)
    return folder


def kept(folder: Path) -> dict[str, str]:
    """Text by id, in order."""
    return {row["id"]: row["text"] for row in _rows(read_dataset(folder))}


def rejected(folder: Path) -> dict[str, tuple[str, str]]:
    """Reason and detail by id, in order; the value after the detail where the rule measured one."""
    rows = _rows(read_dataset(folder / "rejected", REJECTED))
    return {row["id"]: (row["reason"], _told(row)) for row in rows}


def _told(row: dict) -> str:
    value = "" if row["value"] is None else f"{row['value']:.4g}"
    return f"{row['detail']} {value}".strip()


def output_bytes(out: Path) -> dict[str, bytes]:
    """Every file below a stage's output, and its report."""
    files = [path for path in out.rglob("*") if path.is_file()]
    found = {str(path.relative_to(out)): path.read_bytes() for path in files}
    return found | {"report": (out.parent / f"{out.name}.report.json").read_bytes()}


def _rows(tables: Iterable) -> list[dict]:
    return [row for table in tables for row in table.to_pylist()]
