"""Typed readers of the evaluation sets (docs/formats.md), for measuring models and clearing the corpus."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from kajiya import evaluation_forms as forms
from kajiya.errors import KajiyaError
from kajiya.evaluation_items import (
    JAQKET,
    JNLI,
    RECORDS,
    Arithmetic,
    Item,
    JCommonsenseQA,
    JSQuAD,
    MARCJa,
    MultipleChoice,
    Passage,
    Text,
    XWinograd,
)

_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_DATA = {".json", ".jsonl", ".tsv", ".csv"}
_GENERAL = "or, of any other name, records with `question`, `choices` and `label`, or with `text`"
Splits = dict[str, Path]
"""The file of each split; of a set in many tables (JMMLU) their folder."""
Record = TypeVar("Record", bound=BaseModel)


@dataclass(frozen=True)
class EvaluationSet:
    """One split of one set, from one file."""

    name: str
    split: str
    version: str
    """From the file name, such as "v1.3", or the begin of the hash: labels differ between versions, so no
    score goes without it."""
    sha256: str
    """Of the file."""
    items: tuple[Item, ...]
    """In the order of the file; all of one type."""

    @property
    def language(self) -> str:
        """`ja` or `en`; of a set that is not JGLUE's, by whether Japanese letters stand in its first texts."""
        if isinstance(self.items[0], JCommonsenseQA | JNLI | JSQuAD | MARCJa):
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
    found = find_sets(folder)
    for name, splits in found.items():
        record_type(name, next(iter(splits.values())))
    if not found:
        raise KajiyaError(f"{folder}: no evaluation set here. Put one folder per set: {', '.join(RECORDS)}.")
    return sorted(found)


def find_sets(folder: Path) -> dict[str, Splits]:
    """The splits of every set below a folder. A folder of folders groups sets: `jglue/jnli` is one of them."""
    found: dict[str, Splits] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        data = sorted(one for one in path.iterdir() if one.suffix in _DATA)
        folders = sorted(one for one in path.iterdir() if one.is_dir())
        if folders and not data and all(forms.split_named(one.name) for one in folders):
            found[path.name] = {str(forms.split_named(one.name)): one for one in folders}
        elif forms.plain_name(path.name) not in RECORDS and not data and folders:
            found |= {f"{path.name}/{name}": splits for name, splits in find_sets(path).items()}
        else:
            found |= _sets_of(path, data)
    return found


def _sets_of(folder: Path, data: list[Path]) -> dict[str, Splits]:
    """The set in one folder; of MGSM's tables one set per language, Japanese as `mgsm`."""
    if folder.name in forms.PUBLISHED:  # their folders hold answers and prompts of judges too
        files = [folder / name for name in forms.PUBLISHED[folder.name] if folder / name in data]
        if not files:
            names = " or ".join(forms.PUBLISHED[folder.name])
            raise KajiyaError(f"{folder}: no {names} here. Add it or remove the folder.")
        return {folder.name: {"test": files[0]}}
    tables = [path for path in data if path.suffix == ".csv"]
    languages = {path: language for path in data if (language := forms.language_of(path.name))}
    found: dict[str, Splits] = {
        "mgsm" if language == "ja" else f"mgsm_{language}": {"test": path}
        for path, language in languages.items()
    }
    splits: Splits = {"test": folder} if tables else {}
    for path in (one for one in data if one not in languages and one not in tables):
        known = forms.split_of(path.name)
        if known is None:
            raise KajiyaError(
                f"{path}: name it <split>-<version>.json, such as valid-v1.3.json; splits: train, valid, test."
            )
        other = splits.setdefault(known[0], path)
        if other != path:
            raise KajiyaError(f"{path}: a second version beside {other.name}. Keep one version of a split.")
    if splits:
        found[folder.name] = splits | found.get(folder.name, {})
    if not found:
        raise KajiyaError(f"{folder}: no <split>-<version>.json here. Add one or remove the folder.")
    return found


def record_type(name: str, path: Path) -> type[Item]:
    """By the set's name, or by the fields of its first record."""
    base = forms.plain_name(name)
    if base in RECORDS:
        return RECORDS[base]
    if re.fullmatch(r"mgsm_[a-z]{2}", base):
        return Arithmetic
    if path.is_dir():
        return MultipleChoice
    with open(path, "rb") as lines:
        first = next((line for line in lines if line.strip()), b"{}")
    try:
        fields = json.loads(first)
    except ValueError:
        fields = None
    if isinstance(fields, dict) and (
        {"question", "choices"} & fields.keys() or {"ctx", "endings"} <= fields.keys()
    ):
        return MultipleChoice
    if isinstance(fields, dict) and fields.keys() <= {"id", "text"} and "text" in fields:
        return Text
    raise KajiyaError(
        f"{path.parent}: unknown evaluation set. Known: {', '.join(RECORDS)}; {_GENERAL}, one JSON object a "
        "line. Rename, convert or remove it."
    )


def list_splits(folder: Path, name: str) -> Splits:
    """The file of each split of a set: {"train": ..., "valid": ...}. Raises KajiyaError for an unknown set."""
    found = find_sets(folder)
    if name not in found:
        raise KajiyaError(f"{folder}: no evaluation set `{name}`. There are: {', '.join(sorted(found))}.")
    return found[name]


def evaluation_split(splits: Splits) -> str:
    """The split that models are measured on: `test` where its answers are published, or else `valid`."""
    for one in ("test", "valid"):
        if one in splits:
            return one
    there = next(iter(splits.values()))
    raise KajiyaError(
        f"{there}: no split `valid` or `test` beside it, and on `train` nothing is measured. Add one."
    )


def load_set(folder: Path, name: str, split: str) -> EvaluationSet:
    """One split of one set. Raises KajiyaError naming the file and line that is wrong."""
    splits = list_splits(folder, name)
    if split not in splits:
        raise KajiyaError(f"{folder / name}: no split `{split}`. There are: {', '.join(splits)}.")
    return load_file(name, split, splits[split])


def load_asked(folder: Path, name: str) -> EvaluationSet:
    """The split of a set that models are measured on."""
    return load_set(folder, name, evaluation_split(list_splits(folder, name)))


def load_all(folder: Path) -> Iterator[EvaluationSet]:
    """Every split of every set in the folder."""
    for name in list_sets(folder):
        for split, path in find_sets(folder)[name].items():
            yield load_file(name, split, path)


def load_file(name: str, split: str, path: Path) -> EvaluationSet:
    """The set `name` in one file (of tables: their folder), whatever the file is called."""
    record = record_type(name, path)
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    located: list[tuple[str, Item]] = []
    for file in files:
        content, text = forms.read_text(file)
        digest.update(content)
        prefix = f"{file.stem}:" if path.is_dir() else ""
        located += _read(record, file, text, prefix)
    if not located:
        raise KajiyaError(f"{path}: no items. Fill the file or remove it.")
    _check_ids(located)
    known = forms.split_of(path.name)
    sha256 = digest.hexdigest()
    version = (known[1] if known else "") or f"sha256-{sha256[:12]}"
    return EvaluationSet(name, split, version, sha256, tuple(item for _, item in located))


def read_records(record: type[Record], path: Path) -> tuple[Record, ...]:
    """JSON Lines as records of any type. Raises KajiyaError naming file and line."""
    _, text = forms.read_text(path)
    return tuple(forms.validate(record, value, where) for where, value in forms.read_lines(path, text))


def _read(record: type[Item], path: Path, text: str, prefix: str) -> Iterator[tuple[str, Item]]:
    """Each item and where it stands."""
    numbered = "id" in record.model_fields and record is not JSQuAD
    for number, (where, value) in enumerate(_reader(record, path)(path, text), 1):
        fields = value
        if numbered and isinstance(fields, dict):
            line = where.rpartition(":")[2] if path.suffix != ".csv" else str(number)
            fields = fields | {"id": f"{prefix}{fields.get('id', fields.get('ind', line))}"}
        item = forms.validate(record, fields, where, _CHANGES.get(record, dict))
        if isinstance(item, JSQuAD):
            forms.check_answers(item, where)
        yield where, item


def _reader(record: type[Item], path: Path) -> Callable[[Path, str], forms.Located]:
    if record is JSQuAD:
        return forms.read_squad
    if record is JAQKET:
        return forms.read_array
    return {".tsv": forms.read_table, ".csv": forms.read_choices_table}.get(path.suffix, forms.read_lines)


# From the fields of the published files to those of the record.
_CHANGES: dict[type[Item], Callable[[dict[str, Any]], dict[str, Any]]] = {
    MultipleChoice: forms.multiple_choice,
    Arithmetic: forms.arithmetic,
    XWinograd: forms.xwinograd,
    JAQKET: forms.jaqket,
}


def _check_ids(located: list[tuple[str, Item]]) -> None:
    places: dict[str, str] = {}
    for where, item in located:
        first = places.setdefault(item.id, where)
        if first != where:
            raise KajiyaError(
                f"{where}: two items have the id {item.id}: this one and {first}. Ids must be unique."
            )
