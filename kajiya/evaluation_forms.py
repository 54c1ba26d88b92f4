"""The forms in which evaluation sets are published, read as they are: file names, lines, tables."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kajiya.errors import KajiyaError
from kajiya.evaluation_items import JSQuAD

Record = TypeVar("Record", bound=BaseModel)
Fields = dict[str, Any]
Located = Iterator[tuple[str, Any]]
"""(file and place, what stands there)"""

_LONGEST_QUOTED = 80
_NAMED = re.compile(
    r"(?:japanese_)?(?P<split>train|valid|validation|val|dev|test)(?:[-_](?P<version>.+))?\.(?:json|jsonl)"
)
_SPLITS = {"validation": "valid", "val": "valid", "dev": "valid"}
PUBLISHED = {
    "elyza_tasks_100": ("dataset.jsonl", "test.jsonl"),
    # The whole set, or else the part without mathematics and programs.
    "ja_mt_bench": ("question_full.jsonl", "question.jsonl"),
}
"""The names that a set's one file is published under, the first in the folder taken: all are its `test` split."""
_VERSION = re.compile(r"-v[0-9][0-9.]*$")
_LANGUAGES = re.compile(r"mgsm_(?P<language>[a-z]{2})\.tsv")
JAQKET_PASSAGES = 5
"""Of the hundred found: as many as the published scores show a model."""


def split_of(file: str) -> tuple[str, str] | None:
    """(split, version) of a file by its name; the version is empty where the file name has none."""
    match = _NAMED.fullmatch(file)
    if not match:
        return None
    return _SPLITS.get(match["split"], match["split"]), match["version"] or ""


def plain_name(name: str) -> str:
    """Name of a set without the folders above it and the version that JGLUE's folders carry (jnli-v1.3)."""
    return _VERSION.sub("", name.rpartition("/")[2])


def split_named(folder: str) -> str | None:
    """The split that a folder of tables is, by its name (MMLU); None for any other."""
    return _SPLITS.get(folder, folder) if folder in {"train", "valid", "test", *_SPLITS} else None


def language_of(file: str) -> str | None:
    """Language of a table of MGSM; None for any other file."""
    match = _LANGUAGES.fullmatch(file)
    return match["language"] if match else None


def read_text(path: Path) -> tuple[bytes, str]:
    """The bytes and the text of a file. Raises KajiyaError naming the line that is not UTF-8."""
    content = path.read_bytes()
    try:
        return content, content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise KajiyaError(f"{path}:{line}: not UTF-8. Convert the file to UTF-8.") from None


def read_lines(path: Path, text: str) -> Located:
    """JSON Lines: a value per line that is not empty."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise KajiyaError(
                    f"{path}:{number}: invalid JSON: {error.msg} at column {error.colno}. Write one JSON object a line:"
                    " mend the line or take the file anew from its publisher."
                ) from None


def read_array(path: Path, text: str) -> Located:
    """A JSON array, or JSON Lines."""
    if not text.lstrip().startswith("["):
        yield from read_lines(path, text)
        return
    for index, value in enumerate(_whole(path, text)):
        yield f"{path}: [{index}]", value


def read_squad(path: Path, text: str) -> Located:
    """SQuAD's form: an object per question, with its context."""
    for a, article in enumerate(_part(_whole(path, text), "data", str(path))):
        for p, paragraph in enumerate(_part(article, "paragraphs", f"{path}: data[{a}]")):
            where = f"{path}: data[{a}].paragraphs[{p}]"
            for q, question in enumerate(_part(paragraph, "qas", where)):
                there = f"{where}.qas[{q}]"
                yield there, {"context": paragraph.get("context")} | _mapping(question, there)


def read_table(path: Path, text: str) -> Located:
    """Tab-separated question and answer, without a header (MGSM)."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            cells = line.rstrip("\r").split("\t")
            if len(cells) != 2:
                raise KajiyaError(
                    f"{path}:{number}: expected question, tab and answer; found {len(cells)} cells. Mend the line."
                )
            yield f"{path}:{number}", {"question": cells[0], "answer": cells[1]}


def read_choices_table(path: Path, text: str) -> Located:
    """Comma-separated question, choices and the letter of the right one (MMLU, JMMLU), with a header or without."""
    reader = csv.reader(io.StringIO(text))
    for row in reader:
        where = f"{path}:{reader.line_num}"
        if not any(row) or (reader.line_num == 1 and row[-1].strip().lower() == "answer"):
            continue
        letter = row[-1].strip()
        if len(row) < 4 or len(letter) != 1 or not 0 <= ord(letter) - ord("A") < len(row) - 2:
            raise KajiyaError(
                f"{where}: expected question, choices and the letter of the right one (A is the first); found"
                f" {len(row)} cells, the last {_quoted(letter)}. Mend the row."
            )
        yield where, {"question": row[0], "choices": row[1:-1], "label": ord(letter) - ord("A")}


def multiple_choice(fields: Fields) -> Fields:
    """The fields of the general kind, from those of ARC, HellaSwag and MMLU as their authors publish them."""
    question, choices, label = fields.get("question"), fields.get("choices"), fields.get("label")
    if isinstance(question, dict):  # ARC: the choices stand within the question
        question, choices = fields["question"].get("stem"), fields["question"].get("choices")
    if "endings" in fields:  # HellaSwag
        question, choices = fields.get("ctx"), fields["endings"]
        label = int(label) if isinstance(label, str) and label.isdigit() else label
    if label is None:
        label = fields.get("answerKey", fields.get("answer"))
    if isinstance(choices, dict):  # the hub's form of ARC: two lists
        texts, names = choices.get("text") or (), choices.get("label") or ()
        if len(texts) != len(names):
            raise ValueError(f"choices: {len(texts)} under `text` and {len(names)} under `label`")
        choices = [{"text": text, "label": name} for text, name in zip(texts, names, strict=True)]
    if isinstance(choices, list) and choices and all(isinstance(one, dict) for one in choices):
        names = [one.get("label") for one in choices]
        label = names.index(label) if label in names else label
        choices = [one.get("text") for one in choices]
    if isinstance(label, str) and len(label) == 1 and label.isupper():
        label = ord(label) - ord("A")
    return fields | {"question": question, "choices": choices, "label": label}


def arithmetic(fields: Fields) -> Fields:
    """GSM8K's answer is a solution with the number after `####`; MGSM's the number alone, or both apart."""
    answer = fields.get("answer")
    solution, mark, number = str(answer or "").rpartition("####")
    if "answer_number" in fields:
        solution, number = answer or "", fields["answer_number"]
    elif mark:
        solution = str(answer)
    try:
        value = float(str(number).strip().replace(",", "").lstrip("$"))
    except ValueError:
        raise ValueError(f"answer: no number in {_quoted(answer)}; GSM8K's stands after ####") from None
    return {"id": fields.get("id"), "question": fields.get("question"), "solution": solution, "number": value}


def xwinograd(fields: Fields) -> Fields:
    """The two sentences, also from one with a gap and two words to fill it."""
    if "sentence" in fields:
        gap, options = str(fields["sentence"]), (fields.get("option1"), fields.get("option2"))
        fields = fields | {
            f"sentence{n}": gap.replace("_", str(word), 1) for n, word in enumerate(options, 1)
        }
    return fields | {"answer": str(fields.get("answer"))}


def jaqket(fields: Fields) -> Fields:
    """The first passages found, as the published scores show them."""
    passages = fields.get("ctxs")
    return fields | {"ctxs": passages[:JAQKET_PASSAGES] if isinstance(passages, list) else passages}


def validate(
    record: type[Record], fields: Any, where: str, change: Callable[[Fields], Fields] = dict
) -> Record:
    """Fields as a record. Raises KajiyaError naming the place and the field."""
    if not isinstance(fields, dict):
        raise KajiyaError(
            f"{where}: record: expected one JSON object a line, found {_quoted(fields)}. See docs/formats.md for the fields."
        )
    try:
        return record.model_validate(change(fields))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "record"
        found = "" if first["type"] == "missing" else f" (found {_quoted(first['input'])})"
        raise KajiyaError(
            f"{where}: {key}: {first['msg']}{found}. See docs/formats.md for the fields."
        ) from None
    except ValueError as error:
        raise KajiyaError(f"{where}: {error}. See docs/formats.md for the fields.") from None


def _quoted(value: Any) -> str:
    """A value for an error: of a whole file in one line, its begin tells enough."""
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]}..."


def check_answers(item: JSQuAD, where: str) -> None:
    for answer in item.answers:
        if not item.context.startswith(answer.text, answer.answer_start):
            raise KajiyaError(
                f"{where}: the answer {_quoted(answer.text)} does not stand at {answer.answer_start} of the context."
                " Count answer_start in characters from the context's begin."
            )


def _whole(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise KajiyaError(
            f"{path}:{error.lineno}: invalid JSON: {error.msg} at column {error.colno}."
        ) from None


def _part(content: Any, key: str, where: str) -> list:
    part = _mapping(content, where).get(key)
    if not isinstance(part, list):
        raise KajiyaError(
            f"{where}: expected a list `{key}`, found {type(part).__name__}. Use SQuAD's format."
        )
    return part


def _mapping(content: Any, where: str) -> dict:
    if not isinstance(content, dict):
        raise KajiyaError(f"{where}: expected an object, found {type(content).__name__}. Use SQuAD's format.")
    return content
