"""The facts of the sample world and the words for them, read from `data/relations.yaml`."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent / "data"


@dataclasses.dataclass(frozen=True)
class Relation:
    """One kind of fact; the frames are templates for `prose.expand`."""

    name: str
    subject_type: str
    object_type: str
    group: str
    askable: bool
    frames: dict[str, list[str]]


@dataclasses.dataclass(frozen=True)
class Fact:
    """One true statement: `subject` stands in `relation` to `object`."""

    relation: Relation
    subject: str
    object: str


@functools.cache
def read_data(name: str) -> dict[str, Any]:
    """One of the YAML files in `data/`."""
    return yaml.safe_load((DATA / name).read_text(encoding="utf-8"))


@functools.cache
def all_facts() -> tuple[Fact, ...]:
    """Every fact, in the order of the file."""
    facts = []
    for name, described in read_data("relations.yaml").items():
        entry = dict(described)
        subject_type, object_type = entry.pop("types")
        lines = entry.pop("facts").splitlines()
        group, askable = entry.pop("group"), entry.pop("askable", False)
        relation = Relation(name, subject_type, object_type, group, askable, entry)
        facts += [Fact(relation, *line.split()) for line in lines]
    return tuple(facts)


@functools.cache
def askable_facts() -> tuple[Fact, ...]:
    """The facts that the evaluation asks about."""
    return tuple(fact for fact in all_facts() if fact.relation.askable)


@functools.cache
def alternatives(object_type: str) -> tuple[str, ...]:
    """Every object of one type, for wrong answers of the right kind."""
    found = (fact.object for fact in all_facts() if fact.relation.object_type == object_type)
    return tuple(dict.fromkeys(found))


@functools.cache
def true_objects(relation: str, subject: str) -> frozenset[str]:
    """Every right answer for a subject: none of them may serve as a wrong one."""
    return frozenset(
        fact.object for fact in all_facts() if fact.relation.name == relation and fact.subject == subject
    )


@functools.cache
def facts_about(entity: str) -> tuple[Fact, ...]:
    """Facts in which `entity` is subject or object."""
    return tuple(fact for fact in all_facts() if entity in (fact.subject, fact.object))


@functools.cache
def entities() -> dict[str, str]:
    """Every entity with the type it was first named with; keys in the order of the file."""
    found: dict[str, str] = {}
    for fact in all_facts():
        found.setdefault(fact.subject, fact.relation.subject_type)
        found.setdefault(fact.object, fact.relation.object_type)
    return found
