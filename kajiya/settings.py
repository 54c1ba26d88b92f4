"""Typed settings from a section of a YAML file, with errors that name file, line and key."""

import difflib
import typing
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from kajiya.errors import KajiyaError


class _DoubleKeyError(Exception):
    """(line, key, line of the first)"""


class _Loader(yaml.SafeLoader):
    """YAML where a key that stands twice is an error: the second would win without a word."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}
    for key, _ in node.value:
        if key.value in seen:
            raise _DoubleKeyError(key.start_mark.line + 1, key.value, seen[key.value])
        seen[key.value] = key.start_mark.line + 1
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


class Settings(BaseModel):
    """Base of every stage's settings: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    free: ClassVar[frozenset[str]] = frozenset()
    """Settings that change no byte of what a stage has made so far: its unfinished work is continued with others."""
    precious: ClassVar[str] = ""
    """Glob below the stage's work folder: what is found there took so long that no edit of a setting removes it."""

    def check_sets(self, evaluation_sets: Path) -> None:
        """Raise KajiyaError for an evaluation set that is asked for here and that the folder lacks."""

    def binding(self) -> dict[str, Any]:
        """The settings without the free ones, as JSON's types: with others, unfinished work cannot be continued."""
        values: dict[str, Any] = self.model_dump(mode="json", exclude=set(self.free))
        for name, value in self:
            if name in values and isinstance(value, Settings):
                values[name] = value.binding()
        return values


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises KajiyaError naming file and line."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader that refuses more
    except FileNotFoundError:
        raise KajiyaError(f"{path}: no such file.{_similar_files(path)}") from None
    except UnicodeDecodeError as error:
        raise KajiyaError(f"{path}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise KajiyaError(f"{path}: not valid YAML: {error}") from None
    except _DoubleKeyError as error:
        line, key, first = error.args
        raise KajiyaError(
            f"{path}:{line}: `{key}` stands in line {first} already. Keep one of them."
        ) from None
    if not isinstance(content, dict):
        raise KajiyaError(f"{path}: expected `name: value` lines at the top, found {type(content).__name__}.")
    return content


def load_settings(settings_type: Any, path: Path, section: list[str]) -> Any:
    """Validate one section of `path` as `settings_type` (a Settings class or a union of them).

    section: keys from the top of the file, e.g. ["crawl", "wikipedia"].
    Raises KajiyaError with every wrong key, its line, and the nearest known key.
    """
    content: Any = load_yaml(path)
    for depth, key in enumerate(section):
        if not isinstance(content, dict) or key not in content:
            where = ".".join(section[: depth + 1])
            known = ", ".join(map(str, content)) if isinstance(content, dict) else "nothing"
            raise KajiyaError(f"{path}: no section `{where}`. Beside it stand: {known}.")
        content = content[key]
    try:
        return TypeAdapter(settings_type).validate_python({} if content is None else content)
    except ValidationError as error:
        raise KajiyaError(_explain(error, settings_type, path, section)) from None


def line_of(path: Path, keys: list[str]) -> int | None:
    """The line (from 1) of a key in a YAML file, or of the deepest above it that the file has."""
    return _locate(path, keys, missing=False)[1]


def _explain(error: ValidationError, settings_type: Any, path: Path, section: list[str]) -> str:
    lines = []
    for item in error.errors():
        keys, line = _locate(path, [*section, *item["loc"]], missing=item["type"] == "missing")
        where = f"{path}:{line}" if line else str(path)
        if item["type"] == "extra_forbidden":
            message = f"unknown setting{_similar_setting(settings_type, item['loc'])}"
        elif item["type"] == "missing":
            message = "must be given"
        elif item["type"] == "value_error" and isinstance(item["input"], dict):  # of several keys at once
            message = str(item["ctx"]["error"])
        else:
            message = f"{item['msg'].replace('valid tuple', 'valid list')} (found {item['input']!r})"
        lines.append(f"{where}: {'.'.join(map(str, keys))}: {message}")
    return "\n".join(lines)


def _locate(path: Path, location: list[Any], missing: bool) -> tuple[list[Any], int | None]:
    """The keys of `location` without tags of unions, and the line (from 1) of the deepest found.

    Pydantic puts the tag of a union's member into the location; it is no key of the file, so what
    the file does not have is left out, but for the last part of a `missing` setting.
    """
    node: Any = yaml.compose(path.read_text(encoding="utf-8"))
    keys, line = [], None
    for depth, key in enumerate(location):
        found = _child(node, key)
        if found:
            line, node = found
        if found or (missing and depth == len(location) - 1):
            keys.append(key)
    return keys, line


def _child(node: Any, key: Any) -> tuple[int, Any] | None:
    """Line and node below `key` in a YAML node, or None."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None


def _similar_setting(settings_type: Any, location: tuple[Any, ...]) -> str:
    known = _field_names(settings_type, location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f". Did you mean `{near[0]}`?" if near else f". Known here: {', '.join(known)}." if known else "."


def _field_names(settings_type: Any, location: tuple[Any, ...]) -> list[str]:
    """The settings that may stand at `location`, as a file names them."""
    classes = _settings_classes(settings_type)
    for key in location:
        inner = [found for one in classes for found in _settings_classes(_field(one, key))]
        # No field: an entry of a mapping, or the tag that chooses one class of several.
        chosen = inner or [one for one in classes if any(_is_tag(field, key) for field in _fields(one))]
        classes = chosen or classes
    return list(
        dict.fromkeys(field.alias or name for one in classes for name, field in one.model_fields.items())
    )


def _settings_classes(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in _settings_classes(part)]


def _fields(settings: type[Settings]) -> list[Any]:
    return list(settings.model_fields.values())


def _field(settings: type[Settings], key: Any) -> Any:
    field = settings.model_fields.get(key) if isinstance(key, str) else None
    return field.annotation if field else None


def _is_tag(field: Any, key: Any) -> bool:
    return key in typing.get_args(field.annotation)


def _similar_files(path: Path) -> str:
    if not path.parent.is_dir():
        return f" The folder {path.parent} does not exist either."
    names = sorted(other.name for other in path.parent.glob(f"*{path.suffix}"))
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {near[0]}?" if near else f" There are: {', '.join(names) or 'none'}."
