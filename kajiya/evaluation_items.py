"""What one item of an evaluation set is: a record per kind of set, with the texts no training may see."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Self

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


class FoundPassage(_Record):
    """A passage that a search found for a question."""

    title: str
    text: str
    has_answer: bool


class JAQKET(_Record):
    """A quiz question with the passages found for it; each of the answers is right."""

    qid: str
    question: str = Field(min_length=1)
    answers: tuple[str, ...] = Field(min_length=1, strict=False)
    ctxs: tuple[FoundPassage, ...] = Field(min_length=1, strict=False)

    @property
    def id(self) -> str:
        return self.qid

    def passages(self) -> Iterator[Passage]:
        # The passages found are Wikipedia's own: clearing the corpus of them would empty it.
        yield Passage(self.id, self.question)


class XLSum(_Record):
    """A news article and its summary."""

    id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    summary: str = Field(min_length=1)

    def passages(self) -> Iterator[Passage]:
        yield from (Passage(self.id, self.text), Passage(self.id, self.summary))


class XWinograd(_Record):
    """Two sentences that differ in whom or what a word refers to; one of them makes sense."""

    id: str
    sentence1: str = Field(min_length=1)
    sentence2: str = Field(min_length=1)
    answer: Literal["1", "2"]

    def passages(self) -> Iterator[Passage]:
        yield Passage(self.id, self.sentence1 if self.answer == "1" else self.sentence2)


class Arithmetic(_Record):
    """A word problem whose answer is a number (GSM8K, MGSM)."""

    id: str
    question: str = Field(min_length=1)
    solution: str = ""
    """Written steps, the number last; empty where the set has the number alone."""
    number: float

    @property
    def number_text(self) -> str:
        return f"{self.number:.10g}"

    def passages(self) -> Iterator[Passage]:
        yield Passage(self.id, self.question)


class ElyzaTask(_Record):
    """A task with an answer that would earn full marks and the points a judge must look at."""

    id: str
    input_text: str = Field(min_length=1)
    output_text: str = Field(min_length=1)
    eval_aspect: str = Field(min_length=1)

    def passages(self) -> Iterator[Passage]:
        yield from (Passage(self.id, self.input_text), Passage(self.id, self.output_text))


class MTBenchQuestion(_Record):
    """A question of MT-Bench: what the user says, turn by turn."""

    question_id: int
    category: str = Field(min_length=1)
    turns: tuple[str, ...] = Field(min_length=1, strict=False)

    @property
    def id(self) -> str:
        return str(self.question_id)

    def passages(self) -> Iterator[Passage]:
        # A later turn alone ("Shorten that.") may stand anywhere.
        yield from (Passage(self.id, self.turns[0]), Passage(self.id, "\n".join(self.turns)))


class MTBenchAnswer(_Record):
    """Answers of one model to a question of MT-Bench, such as the judge's references."""

    question_id: int
    choices: tuple[dict[str, Any], ...] = Field(min_length=1, strict=False)
    """The first one's `turns` are the answers."""

    @property
    def id(self) -> str:
        return str(self.question_id)

    @property
    def turns(self) -> tuple[str, ...]:
        return tuple(self.choices[0].get("turns", ()))


Item = (
    JCommonsenseQA | JNLI | JSQuAD | MARCJa | JAQKET | XLSum | XWinograd | Arithmetic | ElyzaTask
    | MTBenchQuestion | Text | MultipleChoice
)  # fmt: skip
# By name of the set; a set of another name tells by its fields which of the two general kinds it is.
RECORDS: dict[str, type[Item]] = {
    "jcommonsenseqa": JCommonsenseQA,
    "jnli": JNLI,
    "jsquad": JSQuAD,
    "marc_ja": MARCJa,
    "jaqket_v2": JAQKET,
    "xlsum_ja": XLSum,
    "xwinograd_ja": XWinograd,
    "mgsm": Arithmetic,
    "gsm8k": Arithmetic,
    "elyza_tasks_100": ElyzaTask,
    "ja_mt_bench": MTBenchQuestion,
    "english": Text,
}
