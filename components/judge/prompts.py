"""Versioned prompts: own ones in components/judge/prompts, or those that were published with Japanese MT-Bench."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from kajiya.errors import KajiyaError
from kajiya.questions import SetName
from kajiya.settings import Settings, load_settings

PUBLISHED = "published"
PUBLISHED_FILE = "judge_ja_prompts.jsonl"
_OWN = Path(__file__).with_name("prompts")
_PLACE = re.compile(r"\{([a-z_]+(?:_[0-9])?)\}")
_KNOWN = {
    "mark", "question", "answer", "reference", "criteria",
    *(f"{name}_{turn}" for name in ("question", "answer", "reference") for turn in (1, 2)),
}  # fmt: skip

# By our kinds, the names that FastChat gives its templates.
_FASTCHAT = {
    "first": "single-v1",
    "first_reference": "single-math-v1",
    "second": "single-v1-multi-turn",
    "second_reference": "single-math-v1-multi-turn",
}


class PromptFile(Settings):
    """A file of components/judge/prompts."""

    name: str
    version: str
    scale: tuple[int, int]
    system: str
    systems: dict[str, str] = Field(default_factory=dict)
    """By kind, where one has a system prompt of its own: FastChat's hold the instructions for second turns."""
    templates: dict[str, str] = Field(min_length=1)
    """By kind: first, second, and each with _reference."""
    again: str | None = None
    """Asks anew after a reply without a score; without it the same request is sent once more."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of one set."""

    content: PromptFile
    sha256: str
    """Of the file."""
    where: Path

    @property
    def identity(self) -> dict[str, str]:
        return {"name": self.content.name, "version": self.content.version, "sha256": self.sha256}

    def kind(self, turn: int, with_reference: bool) -> str:
        """The template for a turn. Raises KajiyaError where this version has none."""
        second = turn > 1
        wanted = f"{'second' if second else 'first'}{'_reference' if with_reference else ''}"
        templates, plain = self.content.templates, wanted.removesuffix("_reference")
        if wanted in templates:
            return wanted
        # A version may have one template for both, as ELYZA-tasks-100's does: it shows the reference.
        if "{reference" in templates.get(plain, ""):
            return plain
        turn_told = f"a {'second' if second else 'first'} turn{' with a reference' if with_reference else ''}"
        remedy = "Set answer.turns to first, or take" if second else "Take"
        raise KajiyaError(
            f"{self.where}: holds no prompt for {turn_told} ({wanted}; in FastChat's form {_FASTCHAT[wanted]}). {remedy} another version under "
            "judge.prompts."
        )

    def messages(self, kind: str, values: Mapping[str, str]) -> list[dict[str, str]]:
        """The conversation that asks for a verdict."""
        filled = {**values, "mark": mark(values)}
        system = self.content.systems.get(kind, self.content.system)
        return [
            {"role": "system", "content": fill(system, filled).strip()},
            {"role": "user", "content": fill(self.content.templates[kind], filled).strip()},
        ]


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values into {places}, in one pass: a brace in a value stays a brace."""
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), template)


def mark(values: Mapping[str, str]) -> str:
    """A word that stands in none of the texts, for the lines around them: no answer can close its own quotation."""
    text = json.dumps(sorted(values.items()), ensure_ascii=False)
    found = hashlib.sha256(text.encode()).hexdigest()[:12]
    while any(found in value for value in values.values()):
        found = hashlib.sha256(found.encode()).hexdigest()[:12]
    return found


def load_prompts(set_name: SetName, version: str, evaluation_sets: Path) -> Prompts:
    """Raises KajiyaError for a version that there is none of, naming those there are."""
    if version == PUBLISHED and set_name == "ja_mt_bench":
        return _published(evaluation_sets / set_name / PUBLISHED_FILE)
    path = _OWN / f"{set_name}-{version}.yaml"
    if not path.exists():
        known = sorted(other.stem.rpartition("-")[2] for other in _OWN.glob(f"{set_name}-*.yaml"))
        known += [PUBLISHED] if set_name == "ja_mt_bench" else []
        raise KajiyaError(f"judge.prompts.{set_name}: no version `{version}`. There are: {', '.join(known)}.")
    content: PromptFile = load_settings(PromptFile, path, [])
    _check(content, path)
    return Prompts(content, hashlib.sha256(path.read_bytes()).hexdigest(), path)


def _published(path: Path) -> Prompts:
    """FastChat's form: a JSON object a line, with `name`, `system_prompt` and `prompt_template`."""
    if not path.is_file():
        raise KajiyaError(
            f"{path}: no such file. Put the published prompts there, or take version 1 under judge.prompts.ja_mt_bench."
        )
    raw = path.read_bytes()
    lines: dict[str, dict[str, Any]] = {}
    # Of bytes: str.splitlines would also break at U+2028 and its like, which JSON may hold as they are.
    for number, line in enumerate(raw.splitlines(), 1):
        try:
            entry = json.loads(line)
            lines[str(entry["name"])] = {key: str(entry[key]) for key in ("system_prompt", "prompt_template")}
        except (ValueError, KeyError, TypeError) as error:
            raise KajiyaError(
                f"{path}:{number}: no prompt in FastChat's form (name, system_prompt, prompt_template): {error}. "
                "Fetch the file again."
            ) from None
    templates = {
        kind: _renamed(lines[name]["prompt_template"], kind)
        for kind, name in _FASTCHAT.items()
        if name in lines
    }
    if "first" not in templates:
        raise KajiyaError(f"{path}: no prompt `single-v1`. It holds: {', '.join(lines) or 'nothing'}.")
    content = PromptFile(
        name="+".join(name for name in _FASTCHAT.values() if name in lines),
        version=PUBLISHED,
        scale=(1, 10),
        system=lines["single-v1"]["system_prompt"],
        systems={kind: lines[_FASTCHAT[kind]]["system_prompt"] for kind in templates},
        templates=templates,
    )
    _check(content, path)
    return Prompts(content, hashlib.sha256(raw).hexdigest(), path)


def _renamed(template: str, kind: str) -> str:
    """FastChat's places under our names. Its `question` and `answer` are those of the only turn shown."""
    template = re.sub(r"\{ref_answer_([0-9])\}", r"{reference_\1}", template)
    if kind.startswith("first"):
        template = template.replace("{question}", "{question_1}").replace("{answer}", "{answer_1}")
    return template


def _check(content: PromptFile, path: Path) -> None:
    for kind, template in content.templates.items():
        if strange := sorted(set(_PLACE.findall(template)) - _KNOWN):
            raise KajiyaError(
                f"{path}: the prompt `{kind}` has a place {{{strange[0]}}}, which nothing fills. "
                f"Known: {', '.join(sorted(_KNOWN))}."
            )
