"""What can be set in each stage, told from the settings classes themselves: name, type, default, meaning."""

import importlib
import inspect
import re
import textwrap
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from kajiya.errors import KajiyaError
from kajiya.settings import Settings, load_yaml

_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}


_PREFACE = """# Settings

Written by `kajiya settings --markdown` from the docstrings of the settings classes. Only what differs
from its default needs to stand in params.yaml or in a recipe; a misspelt name is an error."""


@dataclass(frozen=True)
class Setting:
    """One setting as a person reads it."""

    name: str
    """Dotted below the stage's section: `columns.text`."""
    type: str
    default: str
    """As written in YAML; empty where the setting must be given."""
    meaning: str


def settings_type(stage: str) -> Any:
    """The settings class, or union of classes, of components/<stage>."""
    module = importlib.import_module(f"components.{stage}")
    return typing.get_type_hints(module.run, include_extras=True)["config"]


def settings_classes(annotation: Any) -> list[type[Settings]]:
    """The Settings classes inside an annotation: itself, or the members of its union."""
    if inspect.isclass(annotation) and issubclass(annotation, Settings):
        return [annotation]
    return [one for argument in get_args(annotation) for one in settings_classes(argument)]


def describe(settings: type[Settings], prefix: str = "") -> list[Setting]:
    """Every setting of a class; those of a nested class follow it, with dotted names."""
    found: list[Setting] = []
    for name, field in settings.model_fields.items():
        nested = settings_classes(field.annotation)
        found.append(Setting(prefix + name, _type(field), _default(field), _meaning(settings, field)))
        for inner in nested:
            found += describe(inner, f"{prefix}{name}.{_member(field.annotation)}")
    return found


def _meaning(settings: type[Settings], field: FieldInfo) -> str:
    """The docstring of the field; for one that needs none, that of its class."""
    if not field.description and len(get_args(field.annotation)) == 1:
        return f"Picks these settings. {_one_line(settings.__doc__)}"  # the tag of a union's member
    return _one_line(field.description or settings.__doc__)


def sections(pipeline: Path) -> dict[str, tuple[str, str]]:
    """For each stage of dvc.yaml in its order: the file and the section its settings stand in."""
    places = {}
    for stage, written in load_yaml(pipeline)["stages"].items():
        entry = written.get("do", written)
        file = re.search(r"--params (\S+)", entry["cmd"])
        keyed = re.search(rf"\b{stage}\.(\$\{{[^}}]*\}})", str(entry.get("params", "")))
        section = f"{stage}.{keyed[1]}" if keyed else stage
        places[stage] = (_readable(file[1]) if file else "params.yaml", _readable(section))
    return places


def text(stage: str) -> str:
    """The settings of a stage for the terminal."""
    return class_text(settings_type(stage))


def class_text(annotation: Any) -> str:
    """The settings of a class, or of the classes of a union, for the terminal."""
    return "\n\n".join(_class_as_text(one) for one in settings_classes(annotation))


def markdown(pipeline: Path) -> str:
    """docs/settings.md: the settings of every stage."""
    parts = [_PREFACE]
    for stage, (file, section) in sections(pipeline).items():
        parts.append(f"## {stage}\n\nSection `{section}` of `{file}`.")
        parts += [_class_as_markdown(one) for one in settings_classes(settings_type(stage))]
    return "\n\n".join(parts) + "\n"


def check_stage(stage: str, pipeline: Path) -> None:
    """Raise KajiyaError unless `stage` is one of dvc.yaml that has settings."""
    known = sections(pipeline)
    if stage not in known:
        raise KajiyaError(f"no stage `{stage}` with settings. There are: {', '.join(known)}.")


def _class_as_text(settings: type[Settings]) -> str:
    rows = describe(settings)
    head = (
        [f"{settings.__name__}: {meaning}"]
        if (meaning := _one_line(settings.__doc__))
        else [settings.__name__]
    )
    for row in rows:
        default = f" = {row.default}" if row.default else "  (must be given)"
        head.append(f"  {row.name}: {row.type}{default}")
        head += textwrap.wrap(row.meaning, 96, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(head if rows else [*head, "  no settings"])


def _class_as_markdown(settings: type[Settings]) -> str:
    lines = [f"### {settings.__name__}", ""]
    if meaning := _one_line(settings.__doc__):
        lines += [meaning, ""]
    rows = describe(settings)
    if not rows:
        return "\n".join([*lines, "No settings."])
    lines += ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        default = f"`{row.default}`" if row.default else "must be given"
        cells = [f"`{row.name}`", f"`{row.type}`", default, row.meaning]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _one_line(words: str | None) -> str:
    return re.sub(r"\s+", " ", words or "").strip()


def _readable(path: str) -> str:
    """`crawl.${key}` -> `crawl.<key>`; `${item.recipe}` -> `<recipe>`."""
    return re.sub(r"\$\{(?:item\.)?([^}]*)\}", r"<\1>", path)


def _type(field: FieldInfo) -> str:
    bounds = []
    for constraint in field.metadata:
        for name, sign in _BOUNDS.items():
            if (value := getattr(constraint, name, None)) is not None:
                bounds.append(f"{sign} {value}")
        if pattern := getattr(constraint, "pattern", None):
            bounds.append(f"matching {pattern}")
    return ", ".join([_type_name(field.annotation), *bounds])


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is dict:
        return f"{_type_name(arguments[0])} -> {_type_name(arguments[1])}"
    if origin is not None:
        inner = " | ".join(dict.fromkeys(_type_name(one) for one in arguments if one is not Ellipsis))
        return inner if origin in (Union, types.UnionType) else f"list of {inner}"
    return "unset" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _member(annotation: Any) -> str:
    """What stands between a setting's name and those inside: a key of the mapping, or an index."""
    origin = get_origin(annotation)
    if origin is dict:
        return "<key>."
    if origin in (tuple, list):
        return "<n>."
    return ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True, validated_data={})
    return _as_yaml(value)


def _as_yaml(value: Any) -> str:
    if isinstance(value, Settings):
        return "{" + ", ".join(f"{key}: {_as_yaml(one)}" for key, one in value) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "unset"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_as_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple | list | set | frozenset):
        return "[" + ", ".join(map(_as_yaml, value)) + "]"
    return str(value) if value != "" else '""'
