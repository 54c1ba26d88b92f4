"""What the forgetting monitor measures: perplexities of texts, and accuracies of multiple-choice tasks.

All ranks share the work: every forward pass may be a collective, so each makes as many as the others, and all get
the same values.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from tokenizers import Tokenizer

from components.pretrain.engine import Engine
from components.pretrain.forgetting import ACCURACY, PERPLEXITY, TEXT, ChoiceTask, ForgettingSettings
from kajiya.errors import KajiyaError
from kajiya.evaluation_items import Item, JCommonsenseQA, MultipleChoice, Text
from kajiya.evaluation_sets import list_sets, list_splits, load_asked, load_set
from kajiya.lm.packing import order
from kajiya.lm.tokenizer import encode_documents, end_of_sequence, load_tokenizer

Ids = NDArray[np.int64]
Beat = Callable[[], None]
Question = tuple[str, tuple[str, ...], int]
"""Question, choices, number of the right one."""


def no_beat() -> None:
    """Nobody waits for a sign of life."""


@dataclass(frozen=True)
class Choice:
    """One choice of one item, ready for the model."""

    item: int
    ids: Ids
    """What is read: document border, prompt, choice."""
    scored: int
    """Its last so many tokens are the choice's."""
    length: int
    """What its log-likelihood is divided by."""


@dataclass(frozen=True)
class Task:
    choices: list[Choice]
    labels: NDArray[np.int64]
    """Per item the number of the right choice."""


class Measures:
    """Everything that is measured, encoded once."""

    def __init__(
        self, config: ForgettingSettings, evaluation_sets: Path, tokenizer: Path, context: int, seed: int
    ) -> None:
        self._config = config
        self.texts: dict[str, list[Ids]] = {}
        self.tasks: dict[str, Task] = {}
        if not (config.texts or config.tasks):
            return
        encoder = _Encoder(load_tokenizer(tokenizer), tokenizer, context)
        self.border = encoder.border
        known = list_sets(evaluation_sets)
        for name in (*config.texts, *config.tasks):
            if name not in known:
                raise KajiyaError(
                    f"pretrain.forgetting: {evaluation_sets} has no set `{name}`. There are: {', '.join(known)}."
                )
        for name in config.texts:
            self.texts[name] = encoder.windows(_texts(evaluation_sets, name), config.text_tokens)
        for name, task in config.tasks.items():
            self.tasks[name] = _encode_task(name, task, evaluation_sets, encoder, seed)

    def take(
        self, engine: Engine, micro: int, validation_losses: dict[str, float], beat: Beat = no_beat
    ) -> dict[str, float]:
        """All measures by name. validation_losses: by source, as `validate` gives them.

        beat: called before every forward pass, so that a watchdog knows of progress.
        """
        found = {}
        for source in self._config.sources:
            if source not in validation_losses:
                known = ", ".join(sorted(name for name in validation_losses if name))
                raise KajiyaError(
                    f"pretrain.forgetting.sources: no validation sequence is of {source}. There are: {known}. Name "
                    "one of them, or raise validation_sequences."
                )
            found[f"{PERPLEXITY}/{source}"] = _perplexity(validation_losses[source])
        for name, windows in self.texts.items():
            losses = label_losses(engine, windows, micro, self.border, beat)
            found[f"{TEXT}/{name}"] = _perplexity(float(np.concatenate(losses).mean()))
        for name, task in self.tasks.items():
            ids = [choice.ids for choice in task.choices]
            losses = label_losses(engine, ids, micro, self.border, beat)
            found[f"{ACCURACY}/{name}"] = accuracy(task, losses)
        return found


def label_losses(
    engine: Engine, windows: list[Ids], micro: int, padding: int, beat: Beat = no_beat
) -> list[NDArray[np.float64]]:
    """Nats of every token but the first of each window; the same on every rank."""
    lengths = np.array([len(window) - 1 for window in windows])
    ends = np.cumsum(lengths)
    flat = np.zeros(int(ends[-1]))
    # Long ones together: a batch is padded to its longest.
    longest = np.argsort(-lengths, kind="stable")
    rounds = -(-len(windows) // (micro * engine.ranks))
    for number in range(rounds):
        beat()
        first = (number * engine.ranks + engine.rank) * micro
        chosen = longest[first : first + micro]
        # A rank without work of its own goes along.
        rows = _batch([windows[index] for index in (chosen if len(chosen) else longest[:1])], padding)
        losses = engine.losses(torch.from_numpy(rows).to(engine.device)).double().cpu().numpy()
        for index, row in zip(chosen, losses, strict=False):
            flat[ends[index] - lengths[index] : ends[index]] = row[: lengths[index]]
    if engine.ranks > 1:
        total = torch.from_numpy(flat).to(engine.device)
        torch.distributed.all_reduce(total)
        flat = total.cpu().numpy()
    return np.split(flat, ends[:-1])


def _batch(windows: list[Ids], padding: int) -> Ids:
    """Padded on the right, where no token before it sees it."""
    rows = np.full((len(windows), max(map(len, windows))), padding, np.int64)
    for row, window in zip(rows, windows, strict=True):
        row[: len(window)] = window
    return rows


def accuracy(task: Task, losses: list[NDArray[np.float64]]) -> float:
    """Share of the items whose right choice is the most likely one; of equals the first counts."""
    scores: list[list[float]] = [[] for _ in task.labels]
    for choice, loss in zip(task.choices, losses, strict=True):
        scores[choice.item].append(-float(loss[-choice.scored :].sum()) / choice.length)
    chosen = np.array([int(np.argmax(one)) for one in scores])
    return float((chosen == task.labels).mean())


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # above, a float overflows


class _Encoder:
    """Text as the model was given it in training: a border, perhaps a token of the beginning, the text."""

    def __init__(self, tokenizer: Tokenizer, folder: Path, context: int) -> None:
        self._tokenizer = tokenizer
        self._context = context
        self.border = end_of_sequence(tokenizer, folder)
        bare, whole = (tokenizer.encode("a", add_special_tokens=added).ids for added in (False, True))
        begins = len(whole) > len(bare) and whole[1 : 1 + len(bare)] == bare and whole[0] != self.border
        self._head = [self.border, *whole[:1]] if begins else [self.border]

    def encode(self, texts: list[str]) -> list[list[int]]:
        return [ids.tolist() for ids in encode_documents(self._tokenizer, texts)]

    def windows(self, texts: list[str], tokens: int) -> list[Ids]:
        """The first tokens of the texts, one after the other, in windows that overlap by one token."""
        ids: list[int] = []
        for text in texts:
            if len(ids) > tokens:
                break
            ids += [*self._head, *self.encode([text])[0]]
        row = np.array(ids[: tokens + 1], np.int64)
        return [row[at : at + self._context + 1] for at in range(0, len(row) - 1, self._context)]

    def choices(self, item: int, before: str, question: Question, task: ChoiceTask) -> list[Choice]:
        """The choices of one item. Scored is what follows the tokens that all of them leave as they are."""
        asked = before + task.prompt.removesuffix("{choice}").replace("{question}", question[0])
        context, *wholes = self.encode([asked, *(asked + choice for choice in question[1])])
        # Tokens merge across the border of prompt and choice, for each choice in its own way.
        shared = min(_common_length(context, whole) for whole in wholes)
        made = []
        for text, whole in zip(question[1], wholes, strict=True):
            scored = len(whole) - shared
            if not 0 < scored <= self._context:
                raise KajiyaError(
                    f"pretrain.forgetting.tasks: the choice {text!r} is {scored} tokens long; it must be 1 to "
                    f"{self._context}. Mend or remove the item."
                )
            ids = np.array([*self._head, *whole], np.int64)[-(self._context + 1) :]
            length = {"characters": len(text), "tokens": scored, "none": 1}[task.normalise]
            made.append(Choice(item, ids, scored, length))
        return made


def _encode_task(name: str, task: ChoiceTask, folder: Path, encoder: _Encoder, seed: int) -> Task:
    items = load_asked(folder, name).items
    chosen = np.sort(order(seed, 0, len(items))[: task.items])
    before = _examples(name, task, folder, seed)
    questions = [_question(items[index], name) for index in chosen]
    choices = [
        choice
        for number, question in enumerate(questions)
        for choice in encoder.choices(number, before, question, task)
    ]
    return Task(choices, np.array([label for _, _, label in questions]))


def _examples(name: str, task: ChoiceTask, folder: Path, seed: int) -> str:
    """The solved examples, each followed by a blank line."""
    if not task.shots:
        return ""
    items = load_set(folder, name, "train").items if "train" in list_splits(folder, name) else ()
    if len(items) < task.shots:
        raise KajiyaError(
            f"pretrain.forgetting.tasks.{name}: {task.shots} examples asked for, but the split train has {len(items)} "
            "items. Lower `shots` or bring more."
        )
    text = ""
    for index in order(seed, 0, len(items))[: task.shots]:
        question, choices, label = _question(items[index], name)
        text += task.prompt.replace("{question}", question).removesuffix("{choice}") + choices[label] + "\n\n"
    return text


def _question(item: Item, name: str) -> Question:
    if not isinstance(item, MultipleChoice | JCommonsenseQA):
        raise KajiyaError(
            f"pretrain.forgetting.tasks: the set {name} is no multiple choice. Texts belong under `texts`; see "
            "docs/formats.md for the fields of a multiple-choice set."
        )
    return item.question, item.choices, item.label


def _texts(folder: Path, name: str) -> list[str]:
    items: tuple[Any, ...] = load_asked(folder, name).items
    if not isinstance(items[0], Text):
        raise KajiyaError(
            f"pretrain.forgetting.texts: the set {name} is not one of texts. Multiple choice belongs under `tasks`."
        )
    return [item.text for item in items]


def _common_length(left: list[int], right: list[int]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
