"""policy.yaml: which licences and generators may enter which stage. What no line names is refused."""

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from kajiya.errors import KajiyaError
from kajiya.settings import Settings, load_settings

Use = Literal["corpus", "tuning", "evaluation"]
Kind = Literal["license", "generator"]
_SECTIONS = {"license": "licenses", "generator": "generators"}
_BARE = re.compile(r"[A-Za-z][A-Za-z0-9._/+-]*")


class Policy(Settings):
    """Patterns of names, each with the uses it is cleared for; * stands for anything."""

    licenses: dict[str, tuple[Use, ...]]
    """Licences as documents and conversations name them."""
    generators: dict[str, tuple[Use, ...]]
    """Who or what wrote a text: `human`, or names of models."""

    @cached_property
    def _patterns(self) -> dict[str, list[tuple[re.Pattern[str], str]]]:
        return {
            kind: [(_compile(line), line) for line in getattr(self, section)]
            for kind, section in _SECTIONS.items()
        }

    def refusal(self, kind: Kind, name: str, use: Use) -> "Refusal | None":
        """Why `name` may not be used so; None: it may."""
        bare = name.strip()
        matching = [line for pattern, line in self._patterns[kind] if pattern.fullmatch(bare)]
        if not matching:
            return Refusal(kind, name, use, None, ())
        most = max(_weight(line) for line in matching)
        lines = getattr(self, _SECTIONS[kind])
        # Two patterns of one length: what both allow.
        deciding = [line for line in matching if _weight(line) == most]
        uses = tuple(one for one in lines[deciding[0]] if all(one in lines[line] for line in deciding))
        return None if use in uses else Refusal(kind, name, use, deciding[0], uses)


class Refusal(NamedTuple):
    """A licence or generator that may not enter."""

    kind: Kind
    name: str
    use: Use
    line: str | None
    """The line of the policy that decided; None: there is none."""
    uses: tuple[Use, ...]
    """What the line allows."""

    @property
    def reason(self) -> str:
        """As reports count it: `unknown_generator:gpt4x`, `forbidden_license:CC-BY-NC-4.0`."""
        return f"{'unknown' if self.line is None else 'forbidden'}_{self.kind}:{self.name}"

    def explain(self, where: str, policy: Path) -> str:
        """For a person; `where` names document or conversation and file."""
        said = f"{where}: {self.kind} {self.name!r} "
        if self.line is not None:
            allowed = " and ".join(self.uses) or "nothing"
            return f"{said}is cleared for {allowed} only, not for {self.use}: line `{self.line}` of {policy}."
        key = self.name if _BARE.fullmatch(self.name) else json.dumps(self.name, ensure_ascii=False)
        return (
            f"{said}stands in no line of {policy}. If its terms allow {self.use}, add under "
            f"`{_SECTIONS[self.kind]}`:\n  {key}: [{self.use}]"
        )


def load_policy(path: Path) -> Policy:
    """Raises KajiyaError naming file and line of what is wrong."""
    if path.is_dir():
        raise KajiyaError(f"{path}: a folder. Name the policy file: policy.yaml.")
    policy: Policy = load_settings(Policy, path, [])
    _require_single_lines(path)
    return policy


def _require_single_lines(path: Path) -> None:
    """YAML silently takes the last of two equal keys: nobody would know which line holds."""
    sections = yaml.compose(path.read_text(encoding="utf-8")).value
    seen: dict[tuple[str, str], int] = {}
    for section, key in [
        *(("", section) for section, _ in sections),
        *((section.value, key) for section, lines in sections for key, _ in lines.value),
    ]:
        line = key.start_mark.line + 1
        first = seen.setdefault((section, key.value.strip().lower()), line)
        if first != line:
            raise KajiyaError(
                f"{path}:{line}: `{key.value}` stands in line {first} already. Keep one of them."
            )


def _compile(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, line.strip().split("*"))), re.IGNORECASE | re.DOTALL)


def _weight(line: str) -> tuple[bool, int]:
    return "*" not in line, len(line)
