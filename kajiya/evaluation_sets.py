"""Typed readers of the evaluation sets (docs/formats.md), for measuring models and clearing the corpus."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kajiya.errors import KajiyaError
from kajiya.evaluation_items import RECORDS, Item, JSQuAD, MultipleChoice, Passage, Text

_FILE_NAME = re.compile(r"(?P<split>train|valid)-(?P<version>v[0-9][0-9.]*)\.json")
_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_GENERAL = "or, of any other name, records with `question`, `choices` and `label`, or with `text`"


@dataclass(frozen=True)
class EvaluationSet:
    """One split of one set, from one file."""

    name: str
    split: str
    version: str
    """From the file name, such as "v1.3": labels differ between versions, so no score goes without it."""
    sha256: str
    """Of the file."""
    items: tuple[Item, ...]
    """In the order of the file; all of one type."""

    @property
    def language(self) -> str:
        """`ja` or `en`; of a set that is not JGLUE's, by whether Japanese letters stand in its first texts."""
        if not isinstance(self.items[0], Text | MultipleChoice):
            return "ja"
        texts = (passage.text for item in self.items[:100] for passage in item.passages())
        return "ja" if any(map(_JAPANESE.search, texts)) else "en"

    def passages(self) -> Iterator[Passage]:
        """Each text to keep out of training once, under the first item that has it."""
        seen: set[str] = set()
        for item in self.items:
            for passage in item.passages():
                if passage.text not in seen:
                    seen.add(passage.text)
                    yield passage


def list_sets(folder: Path) -> list[str]:
    """Names of the sets in a folder, sorted. Raises KajiyaError for none, or for an unknown one."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for name in names:
        _record_type(folder, name)
    if not names:
        raise KajiyaError(f"{folder}: no evaluation set here. Put one folder per set: {', '.join(RECORDS)}.")
    return names


def _record_type(folder: Path, name: str) -> type[Item]:
    """By the set's name, or by the fields of its first record."""
    if name in RECORDS:
        return RECORDS[name]
    path = next(iter(list_splits(folder, name).values()))
    with open(path, "rb") as lines:
        first = next((line for line in lines if line.strip()), b"{}")
    try:
        fields = json.loads(first)
    except ValueError:
        fields = None
    if isinstance(fields, dict) and {"question", "choices"} & fields.keys():
        return MultipleChoice
    if isinstance(fields, dict) and fields.keys() <= {"id", "text"} and "text" in fields:
        return Text
    raise KajiyaError(
        f"{folder / name}: unknown evaluation set. Known: {', '.join(RECORDS)}; {_GENERAL}, one JSON object a "
        "line. Rename, convert or remove it."
    )


def list_splits(folder: Path, name: str) -> dict[str, Path]:
    """The file of each split of a set: {"train": ..., "valid": ...}."""
    splits: dict[str, Path] = {}
    for path in sorted((folder / name).glob("*.json")):
        match = _FILE_NAME.fullmatch(path.name)
        if not match:
            raise KajiyaError(f"{path}: name it <split>-<version>.json, such as valid-v1.3.json.")
        other = splits.setdefault(match["split"], path)
        if other != path:
            raise KajiyaError(f"{path}: a second version beside {other.name}. Keep one version of a split.")
    if not splits:
        raise KajiyaError(f"{folder / name}: no <split>-<version>.json here. Add one or remove the folder.")
    return splits


def load_set(folder: Path, name: str, split: str) -> EvaluationSet:
    """One split of one set. Raises KajiyaError naming the file and line that is wrong."""
    if name not in list_sets(folder):
        raise KajiyaError(f"{folder}: no evaluation set `{name}`. There are: {', '.join(list_sets(folder))}.")
    splits = list_splits(folder, name)
    if split not in splits:
        raise KajiyaError(f"{folder / name}: no split `{split}`. There are: {', '.join(splits)}.")
    return _load_file(name, splits[split], _record_type(folder, name))


def load_all(folder: Path) -> Iterator[EvaluationSet]:
    """Every split of every set in the folder."""
    for name in list_sets(folder):
        for path in list_splits(folder, name).values():
            yield _load_file(name, path, _record_type(folder, name))


def _load_file(name: str, path: Path, record: type[Item]) -> EvaluationSet:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise KajiyaError(f"{path}:{line}: not UTF-8. Convert the file to UTF-8.") from None
    read = _read_squad if name == "jsquad" else _read_lines
    items = tuple(read(record, path, text))
    if not items:
        raise KajiyaError(f"{path}: no items. Fill the file or remove it.")
    _check_ids(items, path)
    split, _, version = path.stem.partition("-")
    return EvaluationSet(name, split, version, hashlib.sha256(content).hexdigest(), items)


def _read_lines(record: type[Item], path: Path, text: str) -> Iterator[Item]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise KajiyaError(f"{where}: invalid JSON: {error.msg} at column {error.colno}.") from None
        if record in (Text, MultipleChoice) and isinstance(fields, dict):
            fields |= {"id": str(fields.get("id", number))}
        yield _validate(record, fields, where)


def _read_squad(record: type[Item], path: Path, text: str) -> Iterator[Item]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise KajiyaError(
            f"{path}:{error.lineno}: invalid JSON: {error.msg} at column {error.colno}."
        ) from None
    for a, article in enumerate(_part(content, "data", str(path))):
        for p, paragraph in enumerate(_part(article, "paragraphs", f"{path}: data[{a}]")):
            where = f"{path}: data[{a}].paragraphs[{p}]"
            for q, question in enumerate(_part(paragraph, "qas", where)):
                fields = {"context": paragraph.get("context")} | _mapping(question, f"{where}.qas[{q}]")
                item = _validate(record, fields, f"{where}.qas[{q}]")
                _check_answers(item, f"{where}.qas[{q}]")
                yield item


def _part(content: Any, key: str, where: str) -> list:
    part = _mapping(content, where).get(key)
    if not isinstance(part, list):
        raise KajiyaError(
            f"{where}: expected a list `{key}`, found {type(part).__name__}. Use SQuAD's format."
        )
    return part


def _mapping(content: Any, where: str) -> dict:
    if not isinstance(content, dict):
        raise KajiyaError(f"{where}: expected an object, found {type(content).__name__}. Use SQuAD's format.")
    return content


def _validate(record: type[Item], fields: Any, where: str) -> Item:
    try:
        return record.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "record"
        found = "" if first["type"] == "missing" else f" (found {first['input']!r})"
        raise KajiyaError(
            f"{where}: {key}: {first['msg']}{found}. See docs/formats.md for the fields."
        ) from None


def _check_answers(item: Item, where: str) -> None:
    assert isinstance(item, JSQuAD)
    for answer in item.answers:
        if not item.context.startswith(answer.text, answer.answer_start):
            raise KajiyaError(
                f"{where}: the answer {answer.text!r} does not stand at {answer.answer_start} of the context."
                " Count answer_start in characters from the context's begin."
            )


def _check_ids(items: tuple[Item, ...], path: Path) -> None:
    name, count = Counter(item.id for item in items).most_common(1)[0]
    if count > 1:
        raise KajiyaError(f"{path}: two items have the id {name}. Ids must be unique.")
