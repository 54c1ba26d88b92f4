"""The task files that the installed lm-eval ships, over our local sets: scores as the field's harness gives them.

The files are read where pip put them; none is copied. Only where the items come from is changed.
"""

from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.tasks._yaml_loader import load_yaml as load_task_file

from components.evaluate.catalog import TASKS, facts_of
from components.evaluate.fields import NAMES
from kajiya.errors import KajiyaError
from kajiya.evaluation_items import (
    JAQKET,
    JNLI,
    Arithmetic,
    Item,
    JCommonsenseQA,
    JSQuAD,
    MARCJa,
    XLSum,
    XWinograd,
)

_FILES = Path(lm_eval.tasks.__file__).parent


def content(name: str) -> tuple[dict[str, Any], str]:
    """The configuration that lm-eval ships for a task, and how it is called beside the scores."""
    task = facts_of(name).harness
    if task is None:
        known = ", ".join(one for one, facts in TASKS.items() if facts.harness)
        raise KajiyaError(
            f"evaluate.prompts: the harness ships no task file for {name}'s items. Give it another wording in"
            f" evaluate.prompts_of.{name}. It has files for: {known}."
        )
    path = next(_FILES.glob(f"*/{task}.yaml"), None)
    if path is None:
        raise KajiyaError(
            f"evaluate.prompts: the installed lm-eval has no task {task}. Install the locked version."
        )
    try:
        loaded = load_task_file(path)
    except ModuleNotFoundError as error:
        raise KajiyaError(
            f"evaluate: {name} needs packages that are not installed ({error}). Install them with `pip install"
            " kajiya[xlsum]`, or skip the task with a reason (evaluate.skip)."
        ) from None
    version = (loaded.get("metadata") or {}).get("version", "")
    return {key: value for key, value in loaded.items() if key != "tag"}, f"harness {task} {version}".rstrip()


def doc(item: Item) -> dict[str, Any]:  # noqa: PLR0911 - one per kind
    """The item as the hub's data set has it, which the task files read."""
    match item:
        case JCommonsenseQA():
            return item.model_dump()
        case JNLI():
            label = NAMES[JNLI].index(item.label)
            return {
                "sentence_pair_id": item.id,
                "sentence1": item.sentence1,
                "sentence2": item.sentence2,
                "label": label,
            }
        case MARCJa():
            return {"review_id": item.id, "sentence": item.text, "label": NAMES[MARCJa].index(item.label)}
        case JSQuAD():
            answers = {
                "text": [one.text for one in item.answers],
                "answer_start": [one.answer_start for one in item.answers],
            }
            return {
                "id": item.id,
                "title": item.title,
                "context": item.context,
                "question": item.question,
                "answers": answers,
            }
        case JAQKET():
            found = {key: [getattr(one, key) for one in item.ctxs] for key in ("title", "text", "has_answer")}
            return {
                "qid": item.id,
                "question": item.question,
                "answers": {"text": list(item.answers)},
                "ctxs": found,
            }
        case XLSum():
            return {"id": item.id, "text": item.text, "summary": item.summary}
        case XWinograd():
            return {
                "id": item.id,
                "sentence1": item.sentence1,
                "sentence2": item.sentence2,
                "answer": item.answer,
            }
        case Arithmetic():
            number = int(item.number) if item.number.is_integer() else item.number
            solution = item.solution or item.number_text
            return {"id": item.id, "question": item.question, "answer": solution, "answer_number": number}
    raise TypeError(f"no task file for {type(item).__name__}")
