"""Let a model answer the questions of ELYZA-tasks-100 and Japanese MT-Bench, for a judge to score.

Questions are asked through the model's chat template, at most 1,200 new tokens, at the temperature of their
category. The second turn of a question follows the model's own first answer. What is drawn for a question
depends on the seed, the question and the turn, and on nothing that is asked beside it. A model without a
chat template is refused.

OUT holds `answers.jsonl`, a line per question and turn, and `facts.json`: the sets with their versions, and
how they were asked. An answer for which the context had less room than `max_new_tokens` is marked `cut`, and
one whose prompt alone fills the context is empty, and marked too. Answers that were written survive a crash.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from components.answer.asking import Ask, Key, Room, asks, batches, chosen, record, room, seed_of
from components.answer.settings import AnswerSettings
from kajiya.questions import Question, QuestionSet, load_questions
from kajiya.report import Flow, Report
from kajiya.shards import write_file

Record = dict[str, Any]


def run(config: AnswerSettings, model: Path, evaluation_sets: Path, *, out: Path, work: Path) -> Report:
    """Ask the model in folder `model`."""
    sets = [load_questions(evaluation_sets, name) for name in config.sets]
    questions = [
        question
        for one in sets
        for question in chosen(one.questions, config.limit.get(one.name), config.seed)
    ]
    # torch takes seconds to import: --help and a missing set do not wait.
    from components.answer.speak import ChatModel, chat_tokenizer  # noqa: PLC0415

    chat_tokenizer(model)
    speaker = ChatModel(model, config)
    turns = 1 if config.turns == "first" else max(len(one.turns) for one in questions)
    said: dict[Key, list[str]] = {}
    records: list[Record] = []
    for turn in range(1, turns + 1):
        wanted = list(asks(questions, turn, said, config.system))
        for one in answer(config, speaker, wanted, work / f"turn-{turn}"):
            said.setdefault((one["set"], one["id"]), []).append(one["answer"])
            records.append(one)
    records = _in_order(questions, records)
    write_file(out / "answers.jsonl", "".join(map(_line, records)))
    facts = _facts(config, sets, speaker.context)
    write_file(out / "facts.json", json.dumps(facts, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    return _report(records)


def answer(config: AnswerSettings, speaker: Any, wanted: list[Ask], work: Path) -> list[Record]:
    """Records in the order of `wanted`. Batches that lie in `work` are not asked again."""
    prompts = [speaker.encode(ask.messages) for ask in wanted]
    rooms = [room(len(prompt), speaker.context, config.max_new_tokens) for prompt in prompts]
    plan = batches([len(prompt) for prompt in prompts], config.batch_size)
    records: dict[int, Record] = {}
    with tqdm(desc=f"answer: {work.name}", total=len(wanted), dynamic_ncols=True, mininterval=0.5) as bar:
        for number, places in enumerate(plan):
            path = work / f"batch-{number:05d}.jsonl"
            if path.exists():
                # Of bytes: str.splitlines would also break at U+2028 and its like, which JSON leaves as they are.
                found = [json.loads(line) for line in path.read_bytes().splitlines()]
                bar.update(len(places))
            else:
                found = list(
                    _asked(config, speaker, [(wanted[p], prompts[p], rooms[p]) for p in places], bar)
                )
                write_file(path, "".join(map(_line, found)))
            records |= dict(zip(places, found, strict=True))
    return [records[place] for place in range(len(wanted))]


def _asked(
    config: AnswerSettings, speaker: Any, batch: list[tuple[Ask, list[int], Room]], bar: Any
) -> Iterator[Record]:
    """The records of one batch, in its order. A prompt that fills the context gets an empty answer."""
    from components.answer.generate import Wish  # noqa: PLC0415 - torch

    open_places = [place for place, (_, _, left) in enumerate(batch) if left.limit]
    wishes = []
    for place in open_places:
        ask, prompt, left = batch[place]
        temperature = config.temperature(ask.question.set, ask.question.category)
        wishes.append(Wish(prompt, left.limit, temperature, seed_of(config, ask)))
    spoken = {}
    for one in speaker.answer(wishes) if wishes else ():
        spoken[open_places[one.place]] = one
        bar.set_postfix_str(f"{one.new_tokens} tokens", refresh=False)
        bar.update()
    bar.update(len(batch) - len(wishes))
    for place, (ask, prompt, left) in enumerate(batch):
        one = spoken.get(place)
        ended = one.ended if one else "length"
        yield record(
            ask,
            answer=one.text if one else "",
            prompt_tokens=len(prompt),
            new_tokens=one.new_tokens if one else 0,
            ended=ended,
            cut=left.cut if ended == "length" else None,
        )


def _in_order(questions: list[Question], records: list[Record]) -> list[Record]:
    """By question, then by turn."""
    places = {(one.set, one.id): place for place, one in enumerate(questions)}
    return sorted(records, key=lambda one: (places[one["set"], one["id"]], one["turn"]))


def _facts(config: AnswerSettings, sets: list[QuestionSet], context: int) -> dict[str, Any]:
    return {
        "sets": {one.name: {"version": one.version, "sha256": one.sha256} for one in sets},
        "turns": config.turns,
        "max_new_tokens": config.max_new_tokens,
        "context": context,
        "system": config.system,
        "seed": config.seed,
        "top_p": config.top_p,
        "temperatures": {
            f"{one.name}/{category}": config.temperature(one.name, category)
            for one in sets
            for category in sorted({question.category for question in one.questions})
        },
    }


def _report(records: list[Record]) -> Report:
    flows, figures = {}, {}
    for name in dict.fromkeys(one["set"] for one in records):
        own = [one for one in records if one["set"] == name]
        flows[name] = Flow(came_in=len(own), out=len(own))
        cut = Counter(one["cut"] for one in own if one["cut"])
        figures[name] = {
            "questions": len({one["id"] for one in own}),
            "answers": len(own),
            "ended": dict(sorted(Counter(one["ended"] for one in own).items())),
            "cut": {"prompt": cut["prompt"], "answer": cut["answer"]},
            "empty": sum(not one["answer"] for one in own),
            "new_tokens": sum(one["new_tokens"] for one in own),
        }
    return Report(flows=flows, figures=figures)


def _line(one: Record) -> str:
    return json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n"
