"""What a recipe may say about judging. Where the judge is reached is environment: KAJIYA_JUDGE_URL and its like."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from kajiya.questions import SetName
from kajiya.settings import Settings

PROMPTS: dict[SetName, str] = {"elyza_tasks_100": "1", "ja_mt_bench": "1"}


class Price(Settings):
    """What the endpoint charges, per million tokens."""

    prompt: float = Field(ge=0)
    """For tokens sent."""
    completion: float = Field(ge=0)
    """For tokens that the judge writes."""
    currency: str = Field("USD", min_length=1)
    """Shown beside every amount."""


class JudgeSettings(Settings):
    model: str = Field(min_length=1)
    """The judge, as its endpoint names it. Name a dated version where there is one: scores of two are not the same."""
    prompts: dict[SetName, Annotated[str, Field(coerce_numbers_to_str=True)]] = Field(default_factory=dict)
    """Version of the prompts per set: `1`, kajiya's own; `published` takes ja_mt_bench/judge_ja_prompts.jsonl beside
    the questions. A set left out keeps `1`."""
    temperature: float | None = Field(0.0, ge=0, le=2)
    """Of the judge; unset: not sent, for judges that take none."""
    max_tokens: PositiveInt = 1024
    """Longest verdict."""
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How the endpoint calls this bound: newer models of OpenAI ask for the second."""
    samples: PositiveInt = 1
    """Verdicts per answer; their mean is its score. More than one is of use at a temperature above 0."""
    asks: PositiveInt = 3
    """Times a verdict is asked for in all, while none of the replies holds a score that can be read."""
    price: Price | None = None
    """For the cost in money; unset: tokens alone are shown."""
    max_cost: float | None = Field(None, gt=0)
    """Most that all verdicts together may cost, in the currency of `price`: nothing is asked where one reply to each may
    cost more, and what has to be asked again stops before it does. What was paid for is kept."""
    seed: int = 20260101
    """Shuffles the order in which answers are judged, and draws the resamples of the intervals."""

    @model_validator(mode="after")
    def _cost_has_a_price(self) -> Self:
        if self.max_cost is not None and self.price is None:
            raise ValueError("max_cost: give `price` too, or the cost is not known")
        return self

    def prompt_version(self, set_name: SetName) -> str:
        return self.prompts.get(set_name, PROMPTS[set_name])
