"""Change entries of a YAML file a person wrote, and leave every other byte of it alone, comments too."""

from typing import Any

import yaml

from kajiya.errors import KajiyaError


def set_entry(text: str, section: str, key: str, value: Any) -> str:
    """The text with `section.key` set to `value`, on one line at the end of the section where it is new."""
    content = _load(text).get(section) or {}
    if content.get(key) == value and key in content:
        return text
    node = _section(text, section)
    if node is None:
        return f"{text.rstrip()}\n\n{section}:\n{_line(key, value)}\n"
    if not isinstance(node, yaml.MappingNode) or node.flow_style or not node.value:
        return _replace(text, section, node, {**content, key: value})
    lines = text.splitlines()
    for name, item in node.value:
        if name.value == key:
            first, last = name.start_mark.line, _last_line(item)
            return _join([*lines[:first], _line(key, value, name.start_mark.column), *lines[last + 1 :]])
    last_name, last_item = node.value[-1]
    end = _last_line(last_item) + 1
    return _join([*lines[:end], _line(key, value, last_name.start_mark.column), *lines[end:]])


def drop_entry(text: str, section: str, key: str) -> str:
    """The text without `section.key`."""
    content = _load(text).get(section) or {}
    if key not in content:
        return text
    node = _section(text, section)
    rest = {name: value for name, value in content.items() if name != key}
    if not isinstance(node, yaml.MappingNode) or node.flow_style or not rest:
        return _replace(text, section, node, rest)
    lines = text.splitlines()
    name, item = next(pair for pair in node.value if pair[0].value == key)
    return _join([*lines[: name.start_mark.line], *lines[_last_line(item) + 1 :]])


def set_list(text: str, path: list[str], values: list[str]) -> str:
    """The text with the list at `path`, which must be there, set to `values`, on one line."""
    node: Any = yaml.compose(text)
    for key in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((item for name, item in pairs if name.value == key), None)
    if not isinstance(node, yaml.SequenceNode):
        raise KajiyaError(f"{'.'.join(path)}: no list there to extend. Write one: [{', '.join(values)}].")
    if not node.flow_style:
        first, last = node.start_mark.line, _last_line(node)
        lines = text.splitlines()
        indent = " " * node.start_mark.column
        return _join([*lines[:first], *(f"{indent}- {one}" for one in values), *lines[last + 1 :]])
    return f"{text[: node.start_mark.index]}{_flow(values)}{text[node.end_mark.index :]}"


def _load(text: str) -> dict[str, Any]:
    return yaml.safe_load(text) or {}


def _section(text: str, section: str) -> Any:
    root: Any = yaml.compose(text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return next((item for name, item in pairs if name.value == section), None)


def _replace(text: str, section: str, node: Any, value: dict[str, Any]) -> str:
    """Another value for a whole section: an empty one, one in braces, or one that becomes empty."""
    root: Any = yaml.compose(text)
    first = next(name.start_mark.line for name, _ in root.value if name.value == section)
    written = (
        [f"{section}:", *(_line(key, one) for key, one in value.items())] if value else [f"{section}: {{}}"]
    )
    lines = text.splitlines()
    return _join([*lines[:first], *written, *lines[max(first, _last_line(node)) + 1 :]])


def _last_line(node: Any) -> int:
    """The line (from 0) on which a node ends; the mark of a block lies behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.line
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") and node.end_mark.column == 0:
        return end - 1
    return end


def _line(key: str, value: Any, indent: int = 2) -> str:
    return f"{' ' * indent}{_flow(key)}: {_flow(value)}"


def _flow(value: Any) -> str:
    dumped = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return dumped.removesuffix("...\n").strip()


def _join(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
