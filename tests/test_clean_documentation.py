"""docs/cleaning.md: every example in it is what the code does."""

import re
from pathlib import Path

import pytest
from clean_texts import masked, normalized_text, without_lines

from components.clean.lines import LineKind
from components.clean.rulesets import RULE_SETS

PAGE = (Path(__file__).parents[1] / "docs" / "cleaning.md").read_text(encoding="utf-8")


def rows(section: str) -> list[list[str]]:
    """The cells in code quotes of each row of a section's table, escapes read."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ") and line.count("`") == 4]
    return [[unescaped(cell) for cell in re.findall(r"`([^`]*)`", line)] for line in lines]


def unescaped(text: str) -> str:
    text = text.replace(r"\n", "\n").replace(r"\r", "\r").replace(r"\|", "|")
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)


@pytest.mark.parametrize("example", range(26))
def test_example_of_normalising_is_true(example):
    before, after = rows("Normalisation")[example]
    assert normalized_text(before) == after


@pytest.mark.parametrize("example", range(8))
def test_example_of_boilerplate_is_true(example):
    gone, stays = rows("Boilerplate lines")[example]
    assert without_lines(f"前\n{gone}\n後", *LineKind)[0] == "前\n\n後"
    assert without_lines(stays, *LineKind)[0] == stays


@pytest.mark.parametrize("example", range(10))
def test_example_of_personal_data_is_true(example):
    before, after = rows("Personal data")[example]
    assert masked(before)[0] == after


def test_every_example_is_run_and_every_set_is_named():
    sections = ("Normalisation", "Boilerplate lines", "Personal data")
    assert [len(rows(section)) for section in sections] == [26, 8, 10]
    assert [name for name in RULE_SETS if f"`{name}`" not in PAGE] == []
