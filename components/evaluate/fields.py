"""What the templates of our prompts and the metrics read of one item."""

import re
from typing import Any

from kajiya.evaluation_items import (
    JAQKET,
    JNLI,
    Arithmetic,
    Item,
    JCommonsenseQA,
    JSQuAD,
    MARCJa,
    MultipleChoice,
    XLSum,
    XWinograd,
)

Fields = dict[str, Any]

# In the order of the labels: the words that the models are asked for, and the sets' names of them.
LABELS: dict[type[Item], tuple[str, ...]] = {JNLI: ("含意", "矛盾", "中立"), MARCJa: ("肯定", "否定")}
NAMES: dict[type[Item], tuple[str, ...]] = {
    JNLI: ("entailment", "contradiction", "neutral"),
    MARCJa: ("positive", "negative"),
}
_CALCULATOR = re.compile(r"<<.*?>>")  # GSM8K's notes for a tool, which no prompt explains


def fields_of(item: Item) -> Fields:
    """Of a choice: `texts` and `label`; of a free answer: `answers`, all of which are right, and `answer`."""
    return {"id": item.id} | _fields(item)


def _fields(item: Item) -> Fields:  # noqa: PLR0911 - one per kind
    match item:
        case JCommonsenseQA() | MultipleChoice():
            choices = list(item.choices)
            return {"question": item.question, "choices": choices, "texts": choices, "label": item.label}
        case XWinograd():
            return {"texts": [item.sentence1.strip(), item.sentence2.strip()], "label": int(item.answer) - 1}
        case JNLI():
            pair = {"premise": item.sentence1, "hypothesis": item.sentence2}
            return pair | _label(item)
        case MARCJa():
            return {"text": item.text} | _label(item)
        case JSQuAD():
            passage = {"title": item.title, "context": item.body, "question": item.question}
            return passage | _answers([answer.text for answer in item.answers])
        case JAQKET():
            passages = [found.text for found in item.ctxs]
            return {"question": item.question, "passages": passages} | _answers(list(item.answers))
        case Arithmetic():
            solution = _CALCULATOR.sub("", item.solution) or item.number_text
            return {"question": item.question, "answer": solution, "answers": [item.number_text]}
        case XLSum():
            return {"text": item.text} | _answers([item.summary])
    raise TypeError(f"no task for {type(item).__name__}")


def _label(item: JNLI | MARCJa) -> Fields:
    kind = type(item)
    return {"texts": list(LABELS[kind]), "label": NAMES[kind].index(item.label)}


def _answers(answers: list[str]) -> Fields:
    return {"answers": answers, "answer": answers[0]}
