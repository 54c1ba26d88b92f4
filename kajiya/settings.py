"""Typed settings from a section of a YAML file, with errors that name file, line and key."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from kajiya.errors import KajiyaError


class Settings(BaseModel):
    """Base of every stage's settings: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises KajiyaError naming file and line."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KajiyaError(f"{path}: no such file.{_similar_files(path)}") from None
    except UnicodeDecodeError as error:
        raise KajiyaError(f"{path}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise KajiyaError(f"{path}: not valid YAML: {error}") from None
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
        raise KajiyaError(_explain(error, path, section)) from None


def _explain(error: ValidationError, path: Path, section: list[str]) -> str:
    lines = []
    for item in error.errors():
        # A discriminated union puts the tag of its member into the location: no key of the file.
        keys = [*section, *(part for part in item["loc"])]
        line = _line_of(path, keys)
        where = f"{path}:{line}" if line else str(path)
        name = ".".join(map(str, keys))
        if item["type"] == "extra_forbidden":
            message = f"unknown setting{_similar_setting(error, str(keys[-1]))}"
        else:
            message = f"{item['msg']} (found {item['input']!r})"
        lines.append(f"{where}: {name}: {message}")
    return "\n".join(lines)


def _line_of(path: Path, keys: list[Any]) -> int | None:
    """Line (from 1) of the deepest of `keys` that the file has; tags of unions are passed over."""
    node: Any = yaml.compose(path.read_text(encoding="utf-8"))
    line = None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == str(key):
                    line, node = name.start_mark.line + 1, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
    return line


def _similar_setting(error: ValidationError, key: str) -> str:
    known = _field_names(error.title)
    near = difflib.get_close_matches(key, known, n=1)
    return f". Did you mean `{near[0]}`?" if near else f". Known here: {', '.join(known)}." if known else "."


def _field_names(title: str) -> list[str]:
    """Field names of the Settings class called `title`, at any depth below Settings."""
    stack, names = [Settings], []
    while stack:
        for subclass in stack.pop().__subclasses__():
            stack.append(subclass)
            if subclass.__name__ in title:
                names += list(subclass.model_fields)
    return names


def _similar_files(path: Path) -> str:
    if not path.parent.is_dir():
        return f" The folder {path.parent} does not exist either."
    names = sorted(other.name for other in path.parent.glob(f"*{path.suffix}"))
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {near[0]}?" if near else f" There are: {', '.join(names) or 'none'}."
