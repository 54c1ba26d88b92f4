"""Some text of each source, from a corpus or from files of a person's own: the same text every time."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import xxhash

from kajiya.errors import KajiyaError

# One novel shall not be a source's whole sample.
_MOST_CHARACTERS_PER_TEXT = 20_000

_FORMS = ".parquet, .jsonl, .jsonl.gz (key `text`), .txt"


def sample_texts(paths: list[Path], characters: int) -> dict[str, list[str]]:
    """About `characters` characters of each source, in whole texts that their hash chooses.

    The source is the column `source` of a corpus; a file without one is a source by its name.
    """
    samples: dict[str, _Sample] = {}
    for path in paths:
        for source, text in _read(path):
            samples.setdefault(source, _Sample(characters)).add(text)
    found = {source: sample.texts() for source, sample in sorted(samples.items())}
    if not any(found.values()):
        raise KajiyaError(f"no text in {', '.join(map(str, paths))}.")
    return found


class _Sample:
    """Keeps the texts with the smallest hashes: memory stays at twice what is wanted."""

    def __init__(self, characters: int) -> None:
        self._wanted = characters
        self._kept: list[tuple[int, str]] = []
        self._size = 0
        self._bound = 1 << 64

    def add(self, text: str) -> None:
        text = text[:_MOST_CHARACTERS_PER_TEXT]
        number = xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))
        if number >= self._bound or not text:
            return
        self._kept.append((number, text))
        self._size += len(text)
        if self._size > 2 * self._wanted:
            self._trim()

    def texts(self) -> list[str]:
        self._trim()
        return [text for _, text in self._kept]

    def _trim(self) -> None:
        self._kept.sort()
        size = 0
        for place, (number, text) in enumerate(self._kept):
            size += len(text)
            if size >= self._wanted:
                self._bound = number + 1
                del self._kept[place + 1 :]
                break
        self._size = size


def _read(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if _form(one))
        if not files:
            raise KajiyaError(f"{path}: no text here: {_FORMS} can be read.")
        for file in files:
            yield from _read_file(file)
        return
    if not path.is_file():
        raise KajiyaError(f"{path}: no such file or folder.")
    if not _form(path):
        raise KajiyaError(f"{path}: not a form of text that can be read: {_FORMS}.")
    yield from _read_file(path)


def _form(path: Path) -> str:
    return next(
        (form for form in (".parquet", ".jsonl", ".jsonl.gz", ".txt") if path.name.endswith(form)), ""
    )


def _read_file(path: Path) -> Iterator[tuple[str, str]]:
    form = _form(path)
    name = path.name.removesuffix(form)
    if form == ".txt":
        yield name, path.read_text(encoding="utf-8")
    elif form == ".parquet":
        with pq.ParquetFile(path) as file:
            columns = [column for column in ("source", "text") if column in file.schema_arrow.names]
            if "text" not in columns:
                raise KajiyaError(f"{path}: no column `text`.")
            for batch in file.iter_batches(1000, columns=columns):
                rows = batch.to_pydict()
                yield from zip(rows.get("source", [name] * batch.num_rows), rows["text"], strict=True)
    else:
        with gzip.open(path, "rb") if form.endswith(".gz") else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield name, _text_of(line, f"{path}:{number}")


def _text_of(line: bytes, where: str) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError):
        raise KajiyaError(f"{where}: not a JSON object with the key `text`.") from None
    if not isinstance(text, str):
        raise KajiyaError(f"{where}: `text` is no string.")
    return text
