"""What one item of an evaluation set is: JGLUE's kinds, texts, and multiple choice of any origin."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_TITLE_MARK = " [SEP] "


class Passage(NamedTuple):
    """A text of an evaluation item that must not stand in the training corpus."""

    item: str
    text: str


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True
    )  # JGLUE carries ids of its own origins


class JCommonsenseQA(_Record):
    """A question of common sense with five choices."""

    q_id: int
    question: str = Field(min_length=1)
    choice0: str = Field(min_length=1)
    choice1: str = Field(min_length=1)
    choice2: str = Field(min_length=1)
    choice3: str = Field(min_length=1)
    choice4: str = Field(min_length=1)
    label: int = Field(ge=0, le=4)

    @property
    def id(self) -> str:
        return str(self.q_id)

    @property
    def choices(self) -> tuple[str, ...]:
        return self.choice0, self.choice1, self.choice2, self.choice3, self.choice4

    def passages(self) -> Iterator[Passage]:
        # The choices alone are dictionary words: they may stand anywhere.
        yield Passage(self.id, self.question)


class JNLI(_Record):
    """A pair of sentences; the label says how the second follows from the first."""

    sentence_pair_id: str
    sentence1: str = Field(min_length=1)
    sentence2: str = Field(min_length=1)
    label: Literal["entailment", "contradiction", "neutral"]

    @property
    def id(self) -> str:
        return self.sentence_pair_id

    def passages(self) -> Iterator[Passage]:
        yield from (Passage(self.id, self.sentence1), Passage(self.id, self.sentence2))


class Answer(_Record):
    """A right answer and where it begins in the context (characters)."""

    text: str = Field(min_length=1)
    answer_start: int = Field(ge=0)


class JSQuAD(_Record):
    """A question whose answer stands in its context."""

    id: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answers: tuple[Answer, ...] = Field(min_length=1, strict=False)
    context: str = Field(min_length=1)

    @property
    def title(self) -> str:
        """Title of the article, from the context's first words; empty where there is none."""
        title, mark, _ = self.context.partition(_TITLE_MARK)
        return title if mark else ""

    @property
    def body(self) -> str:
        """The context without its title."""
        return self.context.partition(_TITLE_MARK)[2] or self.context

    def passages(self) -> Iterator[Passage]:
        yield from (Passage(self.id, self.question), Passage(self.id, self.body))


class _Text(_Record):
    text: str = Field(min_length=1)

    def passages(self) -> Iterator[Passage]:
        yield Passage(self.id, self.text)  # type: ignore[attr-defined] # each kind has an id


class MARCJa(_Text):
    """A product review and its polarity."""

    review_id: str
    label: Literal["positive", "negative"]

    @property
    def id(self) -> str:
        return self.review_id


class Text(_Text):
    """A text for perplexity. Without an id of its own, its line in the file, from 1."""

    id: str


class MultipleChoice(_Record):
    """A question, or the begin of a text, with choices of which one is right; any language."""

    id: str
    question: str = Field(min_length=1)
    choices: tuple[str, ...] = Field(min_length=2, strict=False)
    label: int = Field(ge=0)
    """Number of the right choice, from 0."""

    @model_validator(mode="after")
    def _label_names_a_choice(self) -> Self:
        if self.label >= len(self.choices):
            raise ValueError(
                f"label {self.label}, but the last of the choices is number {len(self.choices) - 1}"
            )
        if not all(self.choices):
            raise ValueError("an empty choice")
        return self

    def passages(self) -> Iterator[Passage]:
        # Together: "Which of these is true?" alone may stand anywhere.
        yield Passage(self.id, f"{self.question} {self.choices[self.label]}")


Item = JCommonsenseQA | JNLI | JSQuAD | MARCJa | Text | MultipleChoice
# By name of the set; a set of another name tells by its fields which of the two general kinds it is.
RECORDS: dict[str, type[Item]] = {
    "jcommonsenseqa": JCommonsenseQA,
    "jnli": JNLI,
    "jsquad": JSQuAD,
    "marc_ja": MARCJa,
    "english": Text,
}
