"""What is known of each task before anything is loaded: its main metric, its published shots, its suite."""

from dataclasses import dataclass

from kajiya.suites import PUBLISHED_SHOTS


@dataclass(frozen=True)
class TaskFacts:
    main: str
    """The metric that stands for the task."""
    shots: tuple[int, ...]
    """What is run where the settings say nothing."""
    harness: str | None
    """Name of the task in lm-eval; None where it ships none for these items."""


TASKS: dict[str, TaskFacts] = {
    "jcommonsenseqa": TaskFacts("acc", (0, 3), "ja_leaderboard_jcommonsenseqa"),
    "jnli": TaskFacts("acc", (0, 3), "ja_leaderboard_jnli"),
    "marc_ja": TaskFacts("acc", (0, 3), "ja_leaderboard_marc_ja"),
    "jsquad": TaskFacts("exact_match", (0, 2), "ja_leaderboard_jsquad"),
    "jaqket_v2": TaskFacts("exact_match", (PUBLISHED_SHOTS["jaqket_v2"],), "ja_leaderboard_jaqket_v2"),
    "xlsum_ja": TaskFacts("rouge2", (PUBLISHED_SHOTS["xlsum_ja"],), "ja_leaderboard_xlsum"),
    "xwinograd_ja": TaskFacts("acc", (PUBLISHED_SHOTS["xwinograd_ja"],), "ja_leaderboard_xwinograd"),
    "mgsm": TaskFacts("acc", (PUBLISHED_SHOTS["mgsm"],), "ja_leaderboard_mgsm"),
    "mgsm_en": TaskFacts("acc", (5,), None),
    "gsm8k": TaskFacts("acc", (5,), "gsm8k"),
}
# JMMLU, ARC, HellaSwag, MMLU and the like: any set of multiple choice.
_GENERAL = TaskFacts("acc", (0,), None)


def facts_of(task: str) -> TaskFacts:
    return TASKS.get(task, _GENERAL)
