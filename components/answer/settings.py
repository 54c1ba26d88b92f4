"""What a recipe may say about answering the questions of a judge's sets."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from kajiya.questions import SetName
from kajiya.settings import Settings

# Japanese MT-Bench's own, as its makers publish them (FastChat); ELYZA-tasks-100 names none: greedy.
PUBLISHED_TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
    "elyza_tasks_100": 0.0,
}


class AnswerSettings(Settings):
    sets: tuple[SetName, ...] = ("elyza_tasks_100", "ja_mt_bench")
    """Question sets to answer; each needs its folder among the evaluation sets."""
    turns: Literal["first", "both"] = "both"
    """Of questions with a second turn: the first alone, or both, with the model's own first answer between them."""
    limit: dict[SetName, PositiveInt] = Field(default_factory=dict)
    """Most questions per set, chosen by the seed. A set left out is answered whole."""
    max_new_tokens: PositiveInt = 1200
    """Longest answer; fewer where the model's context ends first (such answers are marked `cut`)."""
    temperatures: dict[str, Annotated[float, Field(ge=0, le=2)]] = Field(default_factory=dict)
    """Temperature per category, or for a whole set by its name. One left out keeps the published one: writing and
    roleplay 0.7, stem and humanities 0.1, all others 0; 0 takes the likeliest token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw among the fewest tokens that have this probability together."""
    system: str | None = None
    """System message before each conversation; unset: none."""
    batch_size: PositiveInt = 8
    """Questions answered at the same time, such as are of like length. Another size may change the last digits of
    logits, and with them an answer where two tokens are all but equally likely."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the computation. auto: as the model is stored."""
    seed: int = 20260101
    """With a question's set, id and turn it draws that question's tokens, whatever is asked beside it."""

    @model_validator(mode="after")
    def _sets_are_named_once(self) -> Self:
        if not self.sets or len(set(self.sets)) != len(self.sets):
            raise ValueError("sets: name each set once, and one at least")
        if strange := sorted(set(self.limit) - set(self.sets)):
            raise ValueError(f"limit: `{strange[0]}` is not among the sets")
        return self

    def temperature(self, set_name: str, category: str) -> float:
        """Of a question: the recipe's word for its category or its set, else what was published."""
        for name in (category, set_name):
            if name in self.temperatures:
                return self.temperatures[name]
        return PUBLISHED_TEMPERATURES.get(category, PUBLISHED_TEMPERATURES.get(set_name, 0.0))
