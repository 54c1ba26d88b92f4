"""The traps by which one model gets two scores, and what suites and intervals make of the items' scores."""

import sys
from pathlib import Path
from typing import Any

import pytest
from evaluation_world import PAIRS, write_lines, write_published
from lm_eval.api.instance import Instance
from tiny_model import write_model

from components.evaluate import EvaluateSettings, load_sets
from components.evaluate.catalog import TASKS
from components.evaluate.metrics import last_number
from components.evaluate.models import SharedPrefixModel, trained_model
from components.evaluate.rouge import rouge2, tagger
from components.evaluate.scores import score_tasks, suite_scores
from kajiya.errors import KajiyaError
from kajiya.intervals import wilson

SETTINGS = EvaluateSettings(
    tasks=(*TASKS, "jmmlu"), shots=dict.fromkeys(TASKS, (0,)), english=False, choices="cloze", dtype="float32"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traps")
    write_model(folder / "model", max_position_embeddings=1024)
    write_published(folder / "sets")
    return folder


@pytest.fixture(scope="module")
def model(world: Path) -> SharedPrefixModel:
    return trained_model(world / "model", SETTINGS)


def says(patch: pytest.MonkeyPatch, model: SharedPrefixModel, likelihood: Any, answer: Any) -> None:
    """Let the model give these answers: likelihood(request) of a choice, answer(request) in words."""

    def likelihoods(requests: list[Instance], **_: object) -> list[tuple[float, bool]]:
        return [(float(likelihood(request)), False) for request in requests]

    patch.setattr(model, "loglikelihood", likelihoods)
    patch.setattr(model, "generate_until", lambda requests, **_: [answer(request) for request in requests])


def right_choice(request: Instance) -> float:
    return 0.0 if request.idx == request.doc["label"] else -9.0


def asked(model: SharedPrefixModel, sets: Path, *tasks: str, **update: Any) -> tuple[dict, list[dict]]:
    settings = SETTINGS.model_copy(update={"tasks": tasks} | update)
    return score_tasks(model, settings, load_sets(settings, sets), chat=False)


def test_leading_space_of_an_answer_costs_nothing(
    world: Path, model: SharedPrefixModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, model, right_choice, lambda request: f" {request.doc['answer']}")
    scores, predictions = asked(model, world / "sets", "jsquad", "jaqket_v2")
    assert predictions[0]["prediction"] not in predictions[0]["right"]  # to the letter it is wrong
    assert [scores[task]["0"]["exact_match"] for task in ("jsquad", "jaqket_v2")] == [1.0, 1.0]


def test_choices_are_scored_as_they_stand_in_the_text_and_not_behind_a_space(
    world: Path, model: SharedPrefixModel
) -> None:
    """Alone, 含意 begins with the piece of a space: scored so, JNLI fell from 0.52 to 0.00 elsewhere."""
    assert model.tokenizer.convert_ids_to_tokens(model.tokenizer.encode("含意"))[0].startswith("▁")
    prompt = "前提：川が長い。\n仮説：川がある。\n関係："
    requests = [
        Instance("loglikelihood", {}, (prompt, word), number, metadata=("jnli@0", 0, 1))
        for number, word in enumerate(("含意", "矛盾", "中立"))
    ]
    for (context, choice), given, scored in model.encode_requests(requests):
        assert [*given, *scored] == model.tok_encode(context + choice)
        assert not any("▁" in piece for piece in model.tokenizer.convert_ids_to_tokens(scored))


def test_one_word_for_all_looks_good_in_accuracy_and_is_chance_in_balanced_accuracy(
    model: SharedPrefixModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ["neutral"] * 6 + ["entailment", "contradiction"]
    pairs = [PAIRS[0] | {"sentence_pair_id": str(k), "label": label} for k, label in enumerate(labels)]
    write_lines(tmp_path / "jnli" / "valid-v1.3.json", pairs)
    says(monkeypatch, model, lambda request: request.args[1] == "中立", None)
    scores, _ = asked(model, tmp_path, "jnli")
    assert scores["jnli"]["0"]["acc"] == 0.75
    assert scores["jnli"]["0"]["balanced_acc"] == pytest.approx(1 / 3, abs=1e-6)
    low, high = scores["jnli"]["0"]["intervals"]["balanced_acc"].values()
    assert low < 1 / 3 < high


def test_long_choice_that_is_likelier_per_character_counts_in_acc_norm_alone(
    model: SharedPrefixModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"question": "長い川は？", "choices": ["川", "日本で一番長い信濃川"], "label": 1}
    write_lines(tmp_path / "rivers" / "test.jsonl", [record])
    says(monkeypatch, model, lambda request: {0: -2.0, 1: -5.0}[request.idx], None)
    scores, predictions = asked(model, tmp_path, "rivers")
    assert predictions[0]["scores"] == {"acc": 0.0, "acc_norm": 1.0}
    assert scores["rivers"]["0"]["main"] == "acc"


def test_right_answers_make_full_marks_in_every_task_and_suite(
    world: Path, model: SharedPrefixModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, model, right_choice, lambda request: request.doc["answer"])
    scores, predictions = asked(model, world / "sets", *SETTINGS.tasks, shots={})
    suites = suite_scores(scores, predictions)
    for task in SETTINGS.tasks:
        for one in scores[task].values():
            assert one[one["main"]] == 1.0
            assert one["intervals"][one["main"]]["high"] == 1.0
            assert one["prompts"] == ("0.1 cloze" if task in ("jcommonsenseqa", "jmmlu") else "0.1")
    assert [suites[name]["mean"] for name in ("4", "8")] == [100.0, 100.0]
    assert suites["8"]["tasks"]["mgsm"] == 100.0
    assert suites["4"]["interval"]["high"] == 100.0
    assert suites["4"]["interval"]["low"] < 90  # a handful of items in each task proves no perfection


def test_suite_is_the_mean_of_its_tasks_in_points_with_an_interval(
    world: Path, model: SharedPrefixModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, model, lambda request: -request.idx, lambda request: request.doc["answer"])
    scores, predictions = asked(
        model, world / "sets", "jcommonsenseqa", "jnli", "marc_ja", "jsquad", shots={}
    )
    suite = suite_scores(scores, predictions)["4"]
    hits = {"jcommonsenseqa": 2 / 6, "jnli": 2 / 4, "marc_ja": 3 / 5, "jsquad": 1.0}
    assert suite["tasks"] == pytest.approx({task: 100 * share for task, share in hits.items()}, abs=1e-3)
    assert suite["mean"] == pytest.approx(100 * sum(hits.values()) / 4, abs=1e-3)
    assert suite["interval"]["low"] < suite["mean"] < suite["interval"]["high"]
    expected = wilson(2, 6)
    assert scores["jcommonsenseqa"]["3"]["intervals"]["acc"] == pytest.approx(
        {"low": expected.low, "high": expected.high}, abs=1e-6
    )


def test_suite_with_a_missing_task_or_other_shots_has_no_mean_and_names_it(
    world: Path, model: SharedPrefixModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, model, right_choice, lambda request: request.doc["answer"])
    scores, predictions = asked(
        model, world / "sets", "jcommonsenseqa", "jnli", "jsquad", shots={"jnli": (0,)}
    )
    suite = suite_scores(scores, predictions)["4"]
    assert (suite["mean"], suite["interval"], suite["missing"]) == (None, None, ["jnli", "marc_ja"])


@pytest.mark.parametrize(
    ("solution", "number"),
    [
        ("3+4=7\n#### 7", 7.0),
        ("#### 1,234 は答え。次の問題 5", 1234.0),
        ("答えは１２です。", 12.0),
        ("3足す-5は-2", -2.0),
        ("合計 2,5 個", 5.0),
        ("4.50 ドル", 4.5),
        ("わかりません", None),
    ],
)
def test_last_number_of_a_solution_is_its_answer(solution: str, number: float | None) -> None:
    assert last_number(solution) == number


def test_problem_without_a_number_in_its_answer_is_wrong(
    world: Path, model: SharedPrefixModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, model, right_choice, lambda _: "わかりません")
    scores, _ = asked(model, world / "sets", "mgsm", "gsm8k")
    assert [scores[task]["0"]["acc"] for task in ("mgsm", "gsm8k")] == [0.0, 0.0]


def test_summary_is_scored_by_pairs_of_words() -> None:
    pytest.importorskip("fugashi", reason="the extra xlsum is not installed")
    assert rouge2("松山市で橋ができた。", "松山市で橋ができた。") == 1.0
    assert (
        rouge2("橋ができた", "橋ができる") == 0.4
    )  # 橋 が でき た, 橋 が できる: one pair of three and of two
    assert rouge2("橋", "橋") == 0.0


@pytest.mark.parametrize("prompts", ["0.1", "harness"])
def test_summaries_without_the_words_extra_are_refused_before_anything_is_written(
    world: Path, model: SharedPrefixModel, monkeypatch: pytest.MonkeyPatch, prompts: str
) -> None:
    monkeypatch.setitem(sys.modules, "fugashi", None)
    monkeypatch.delitem(sys.modules, "lm_eval.tasks.japanese_leaderboard.ja_leaderboard_xlsum", raising=False)
    tagger.cache_clear()
    with pytest.raises(KajiyaError, match=r"xlsum_ja .*fugashi.*pip install kajiya\[xlsum\]"):
        asked(model, world / "sets", "xlsum_ja", prompts=prompts)


def test_set_of_texts_is_no_task(model: SharedPrefixModel, tmp_path: Path) -> None:
    write_lines(tmp_path / "novels" / "valid.jsonl", [{"text": "吾輩は猫である。"}])
    with pytest.raises(KajiyaError, match="novels is a set of Text records, which no task here asks"):
        asked(model, tmp_path, "novels")


def test_wording_that_the_harness_does_not_ship_is_refused(world: Path, model: SharedPrefixModel) -> None:
    with pytest.raises(KajiyaError, match=r"no task file for jmmlu's items.*evaluate\.prompts_of\.jmmlu"):
        asked(model, world / "sets", "jmmlu", prompts="harness")


def test_single_task_may_have_a_wording_of_its_own(
    world: Path, model: SharedPrefixModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, model, right_choice, None)
    scores, _ = asked(model, world / "sets", "jnli", "jmmlu", prompts="harness", prompts_of={"jmmlu": "0.2"})
    assert scores["jnli"]["0"]["prompts"].startswith("harness ja_leaderboard_jnli")
    assert scores["jmmlu"]["0"]["prompts"] == "0.2"


def test_answers_longer_than_the_context_are_refused_before_anything_is_written(
    world: Path, model: SharedPrefixModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedPrefixModel, "max_length", 256)
    with pytest.raises(
        KajiyaError, match=r"mgsm lets the model write 256 tokens in the wording 0\.1"
    ) as raised:
        asked(model, world / "sets", "mgsm")
    assert "longer context" in str(raised.value)
    assert "prompts_of" not in str(raised.value)  # all wordings ask for as much
