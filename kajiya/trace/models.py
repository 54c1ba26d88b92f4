"""In which tokens, and so in which registered models, documents ended."""

import json
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from kajiya.dvc_lock import Hashed
from kajiya.errors import KajiyaError
from kajiya.lineage import Lineage
from kajiya.registered_version import RegisteredVersion
from kajiya.registry import list_versions, load_lineage
from kajiya.trace.project import Project, output_of

_SPLITS = ("train", "validation")


class Span(NamedTuple):
    """Tokens [start, end) of a split that come from a document."""

    document: str
    split: str
    start: int
    end: int


class Use(NamedTuple):
    """What one state of a recipe's tokens holds of the documents."""

    recipe: str
    tokens: str
    """Hash of the folder of tokens."""
    spans: list[Span] | None
    """None: that state is not on this disk, so nothing is known."""
    versions: list[RegisteredVersion]
    """Registered versions trained on it."""


def uses(project: Project, documents: list[str]) -> list[Use]:
    """Every state of the tokens that is on this disk or that a registered version was trained on."""
    states: dict[tuple[str, str], list[RegisteredVersion]] = {
        (recipe, _tokens(project, recipe).hash): [] for recipe in project.items("tokenize")
    }
    for version in list_versions():
        lineage = load_lineage(version.name, version.version)
        if found := _trained_on(lineage):
            states.setdefault((lineage.recipe, found), []).append(version)
    return [
        Use(recipe, state, _spans(project, recipe, state, documents), versions)
        for (recipe, state), versions in states.items()
    ]


def _tokens(project: Project, recipe: str) -> Hashed:
    return output_of(project.stages[f"tokenize@{recipe}"])


def _trained_on(lineage: Lineage) -> str | None:
    stage = lineage.stage(f"tokenize@{lineage.recipe}")
    return next((out.hash for out in stage.outputs if out.hash.endswith(".dir")), None) if stage else None


def _spans(project: Project, recipe: str, state: str, documents: list[str]) -> list[Span] | None:
    spans = []
    for split in _SPLITS:
        file = _file(project, recipe, state, f"{split}.spans.parquet")
        if file is None:
            return None
        table = pq.read_table(file, filters=[("document_id", "in", documents)], partitioning=None)
        spans += [Span(r["document_id"], split, r["start"], r["end"]) for r in table.to_pylist()]
    return spans


def _file(project: Project, recipe: str, state: str, name: str) -> Path | None:
    """A file of a state of the tokens: in the project if that is its state, else in DVC's cache."""
    if f"tokenize@{recipe}" in project.stages:
        current = _tokens(project, recipe)
        path = project.root / current.path / name
        if current.hash == state and path.exists():
            return path
    cache = _cache(project.root)
    listing = cache / state[:2] / state[2:]
    if not listing.exists():
        return None
    try:
        entries = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
        held = entries[name]
    except (ValueError, KeyError, TypeError) as error:
        raise KajiyaError(
            f"{listing}: no listing of a folder that holds {name} ({type(error).__name__}: {error}). Remove it from DVC's "
            "cache; `dvc fetch` brings it anew."
        ) from None
    path = cache / held[:2] / held[2:]
    return path if path.exists() else None


def _cache(root: Path) -> Path:
    """DVC's cache: `cache.dir` of .dvc/config.local, else of .dvc/config, relative to the file that says so."""
    for name in ("config.local", "config"):
        file = root / ".dvc" / name
        # DVC's own parser takes `#` in a value for a comment, and `%` for itself.
        config = ConfigParser(interpolation=None, strict=False, inline_comment_prefixes="#")
        try:
            config.read(file, encoding="utf-8")
        except (ConfigError, UnicodeDecodeError) as error:
            raise KajiyaError(f"{file}: not a configuration of DVC ({error}). Mend it.") from None
        if folder := config.get("cache", "dir", fallback="").strip("\"' "):
            return file.parent / Path(folder).expanduser() / "files" / "md5"
    return root / ".dvc" / "cache" / "files" / "md5"
