"""Takedowns: the list of documents that somebody asked to leave out, kept in `exclusions.yaml`."""

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from kajiya.errors import KajiyaError
from kajiya.settings import Settings
from kajiya.shards import write_file

_HEADER = """\
# Documents that must not be learnt from, because somebody asked for it: the clean stage rejects them first.
# One entry each: {id: <document id>, reason: <who asked, and why>, requested: YYYY-MM-DD}
"""
_FORM = "{id: ..., reason: ..., requested: YYYY-MM-DD}"


class Exclusion(Settings):
    """One document to leave out."""

    id: Annotated[str, Field(min_length=1)]
    """Of the document, as the crawl gives it: `c4:3:1024`."""
    reason: Annotated[str, Field(min_length=1)]
    """Who asked for it, and why; stands beside the rejected document."""
    requested: datetime.date
    """Day of the request, UTC."""


def load(path: Path) -> dict[str, Exclusion]:
    """The exclusions by document id, in the order of the file.

    Raises KajiyaError naming file and line of an entry that is not one, or that repeats an id. An id
    that no document has is no error: what was asked to go may be gone at its source already.
    """
    found: dict[str, Exclusion] = {}
    for line, content in _entries(path):
        try:
            entry = Exclusion.model_validate(content)
        except ValidationError as error:
            what = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'entry'}: {e['msg']}" for e in error.errors())
            raise KajiyaError(f"{path}:{line}: {what}. An entry is {_FORM}.") from None
        if entry.id in found:
            raise KajiyaError(f"{path}:{line}: {entry.id} stands here twice. Remove one of the entries.")
        found[entry.id] = entry
    return found


def add(path: Path, entries: Iterable[Exclusion]) -> list[Exclusion]:
    """Append what is not excluded yet, and return that; the file is replaced whole or not at all.

    What stands in it stays as it was written, comments too. Only a list that is empty or in flow style
    (`[{...}, {...}]`), behind which nothing can be appended, is written anew, with the comments before it.
    """
    known = load(path) if path.exists() else {}
    new = []
    for entry in entries:
        if entry.id not in known:
            known[entry.id] = entry
            new.append(entry)
    if new or not path.exists():
        write_file(path, _with(path, new, list(known.values())))
    return new


def _with(path: Path, new: list[Exclusion], every: list[Exclusion]) -> str:
    """The file's text with the new entries; `every` of them where the list must be written anew."""
    text = path.read_text(encoding="utf-8") if path.exists() else _HEADER
    node = yaml.compose(text)
    if node is None:
        return _ended(text or _HEADER) + _listed(new)
    if node.flow_style:
        return _ended(text[: node.start_mark.index] or _HEADER) + _listed(every)
    # Entries of one list must begin in one column, and nothing may follow an explicit end of the document.
    indented = "".join(" " * node.start_mark.column + line for line in _listed(new).splitlines(keepends=True))
    end = node.value[-1].end_mark.index if text[node.end_mark.index :].startswith("...") else len(text)
    return _ended(text[:end]) + indented


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _listed(entries: list[Exclusion]) -> str:
    # Dates as text: YAML would write one date once and refer to it from the other entries.
    rows = [one.model_dump(mode="json") for one in entries]
    return yaml.safe_dump(rows, allow_unicode=True, sort_keys=False)


def _entries(path: Path) -> list[tuple[int, Any]]:
    """Line (from 1) and content of each entry."""
    try:
        text = path.read_text(encoding="utf-8")
        content, node = yaml.safe_load(text), yaml.compose(text)
    except FileNotFoundError:
        raise KajiyaError(f"{path}: no such file. Without any takedown it holds `[]`.") from None
    except UnicodeDecodeError as error:
        raise KajiyaError(f"{path}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise KajiyaError(f"{path}: not valid YAML: {error}") from None
    if content is None:
        return []
    if not isinstance(content, list):
        raise KajiyaError(f"{path}:{node.start_mark.line + 1}: expected a list of entries {_FORM}.")
    return [(item.start_mark.line + 1, one) for item, one in zip(node.value, content, strict=True)]
