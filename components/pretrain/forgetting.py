"""Forgetting: what the base model could before the training, watched while it is trained on something else.

Every so many steps perplexities and small tasks are measured and held against the base's own values, measured
at step 0 of the same run. They stand in the rows of metrics.jsonl, from which everything here follows: alarms,
the schedule of replay shares, and the table of the report. A training that was killed takes them up with its rows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from components.pretrain.replay import Change
from kajiya.settings import Settings

_PREFIX = "forgetting/"
PERPLEXITY, TEXT, ACCURACY = "perplexity", "text_perplexity", "accuracy"
SHARE = "replay_share"
"""Key of a row after which another share of replay holds."""

Row = dict[str, Any]


class ChoiceTask(Settings):
    """A multiple-choice set: of the choices the model should find the right one most likely."""

    prompt: str = "{question} {choice}"
    """What the model reads; it ends with `{choice}`, and only that is scored."""
    shots: int = Field(default=0, ge=0)
    """Solved examples before each question, from the set's split `train`, a blank line between them."""
    items: int = Field(default=200, ge=1)
    """Most items of the split `valid`, drawn by the seed."""
    normalise: Literal["characters", "tokens", "none"] = "characters"
    """What the log-likelihood of a choice is divided by: long choices are less likely for their length alone."""

    @model_validator(mode="after")
    def _asks_for_a_choice(self) -> Self:
        if not self.prompt.endswith("{choice}") or self.prompt.count("{question}") != 1:
            raise ValueError("prompt must hold {question} once and end with {choice}")
        return self


class ForgettingSettings(Settings):
    """Watch what the base model forgets."""

    every_steps: int = Field(default=500, ge=1)
    """Steps between measures; there is always one before the first step, of the base, and one after the last."""
    sources: tuple[str, ...] = ()
    """Sources whose validation perplexity is watched."""
    texts: tuple[str, ...] = ()
    """Evaluation sets of texts, such as [english], whose perplexity is watched."""
    text_tokens: int = Field(default=20_000, ge=1)
    """Most tokens of each of `texts`, from its begin."""
    tasks: dict[str, ChoiceTask] = Field(default_factory=dict)
    """Multiple-choice evaluation sets whose accuracy is watched, by name; `{}` takes the defaults."""
    max_perplexity_ratio: float | None = Field(default=1.1, gt=1)
    """Bound for each perplexity, as a multiple of the base's; null: none."""
    max_accuracy_drop: float | None = Field(default=0.03, gt=0, lt=1)
    """Bound for the fall of the mean accuracy over `tasks` below the base's; null: none."""
    on_bound: Literal["alarm", "raise_replay", "stop"] = "alarm"
    """Past a bound: warn and count it; also raise the share of replay; or end the training with an error."""
    raise_factor: float = Field(default=1.5, gt=1)
    """The share of replay becomes so many times what it was."""
    max_replay_share: float = Field(default=0.5, gt=0, lt=1)
    """It is never raised above this, nor beyond what `max_epochs` of its sequences give."""

    @model_validator(mode="after")
    def _watches_something(self) -> Self:
        if not (self.sources or self.texts or self.tasks):
            raise ValueError("name at least one of sources, texts and tasks, or set forgetting to null")
        return self


@dataclass(frozen=True)
class Breach:
    """A bound that was crossed."""

    measure: str
    value: float
    base: float
    bound: float
    """The value that may not be crossed."""

    def __str__(self) -> str:
        return f"{self.measure} is {self.value:.4g}, the base's {self.base:.4g}, the bound {self.bound:.4g}"


def is_due(config: ForgettingSettings | None, step: int, steps: int) -> bool:
    """Whether to measure after `step` of `steps` steps; 0 is the base."""
    return config is not None and (step in (0, steps) or step % config.every_steps == 0)


def as_row(measures: dict[str, float]) -> Row:
    """measures: by kind and name, such as `accuracy/arc`."""
    return {f"{_PREFIX}{name}": value for name, value in measures.items()}


def measures_of(row: Row) -> dict[str, float]:
    return {key.removeprefix(_PREFIX): value for key, value in row.items() if key.startswith(_PREFIX)}


def history(rows: Sequence[Row]) -> dict[int, dict[str, float]]:
    """The measures by step; the base's at 0."""
    return {row["step"]: found for row in rows if (found := measures_of(row))}


def breaches(config: ForgettingSettings, base: dict[str, float], now: dict[str, float]) -> Iterator[Breach]:
    """Every bound that `now` crosses."""
    if config.max_perplexity_ratio is not None:
        for name, value in now.items():
            bound = config.max_perplexity_ratio * base[name]
            # "not below": a perplexity that is not a number is no good one.
            if not name.startswith(ACCURACY) and not value <= bound:
                yield Breach(_spoken(name), value, base[name], bound)
    before, after = mean_accuracy(base), mean_accuracy(now)
    if config.max_accuracy_drop is not None and before is not None and after is not None:
        bound = before - config.max_accuracy_drop
        if after < bound:
            yield Breach("mean accuracy", after, before, bound)


def _spoken(name: str) -> str:
    kind, slash, what = name.partition("/")
    return kind.replace("_", " ") + slash + what


def mean_accuracy(measures: dict[str, float]) -> float | None:
    values = [value for name, value in measures.items() if name.startswith(ACCURACY)]
    return sum(values) / len(values) if values else None


def shares(rows: Sequence[Row], initial: float) -> list[Change]:
    """The schedule of replay shares that these rows have led to."""
    return [(0, initial), *((row["step"], row[SHARE]) for row in rows if SHARE in row)]


def raised_share(config: ForgettingSettings, share: float, largest: float) -> float:
    """The next share of replay; `largest`: what the data allow. Never less than it was."""
    # From nothing, a factor leads nowhere.
    wanted = share * config.raise_factor if share else config.max_replay_share / 10
    return max(share, round(min(wanted, config.max_replay_share, largest), 6))


def report(config: ForgettingSettings, rows: Sequence[Row]) -> dict[str, Any]:
    """Task by step, the base first, with differences: the table that ELYZA published for its 7B models."""
    steps = history(rows)
    base = steps[0]
    table: list[dict[str, Any]] = [
        {
            "step": step,
            "values": _rounded(found),
            "mean_accuracy": _round(mean_accuracy(found)),
            "differences": _rounded({name: found[name] - base[name] for name in found}),
            "mean_accuracy_difference": _round(_difference(mean_accuracy(found), mean_accuracy(base))),
            "alarms": [str(one) for one in breaches(config, base, found)],
        }
        for step, found in steps.items()
    ]
    return {
        "steps": table,
        "last": table[-1],
        "alarms": sum(len(entry["alarms"]) for entry in table),
        "on_bound": config.on_bound,
        "normalised_by": {name: task.normalise for name, task in config.tasks.items()},
        "replay_raised": [{"step": row["step"], "share": row[SHARE]} for row in rows if SHARE in row],
    }


def _difference(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base


def _rounded(values: dict[str, float]) -> dict[str, float | None]:
    return {name: _round(value) for name, value in values.items()}


def _round(value: float | None) -> float | None:
    """Five digits: a report shows a measure, metrics.jsonl holds it. JSON knows no infinity."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
