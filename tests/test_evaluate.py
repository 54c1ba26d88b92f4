"""Scores and perplexities of a random Llama on a handful of items, offline."""

import hashlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance
from tiny_model import SENTENCES, write_model, write_tokens
from transformers import AutoModelForCausalLM, AutoTokenizer

from components.evaluate import EvaluateSettings, load_sets, run
from components.evaluate.metrics import answer_scores, balanced_accuracy, choice_scores
from components.evaluate.models import SharedPrefixModel, trained_model
from components.evaluate.perplexity import measure_perplexity, token_losses
from components.evaluate.scores import chosen_items, score_tasks
from components.evaluate.tasks import build_task
from kajiya.comparison import compare
from kajiya.errors import KajiyaError
from kajiya.stage import execute

SETTINGS = EvaluateSettings(
    shots={"jcommonsenseqa": (0, 2), "jnli": (0, 1), "marc_ja": (0,), "jsquad": (0,)},
    choices="cloze",
    compare_untrained=True,
    batch_tokens=256,
    skip={"xlsum_ja": "its licence is being asked for"},
)
CITIES = ["松山市", "高松市", "青森市", "信濃川", "うどん"]


def write_lines(path: Path, records: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def write_sets(folder: Path) -> Path:
    def question(number: int, text: str) -> dict:
        choices = {f"choice{k}": CITIES[(k + number) % 5] for k in range(5)}
        return {"q_id": number, "question": text, **choices, "label": number % 5}

    write_lines(
        folder / "jcommonsenseqa" / "train-v1.3.json",
        [question(k, f"例{k}の県の市はどこですか。") for k in range(4)],
    )
    write_lines(
        folder / "jcommonsenseqa" / "valid-v1.3.json",
        [question(10 + k, f"第{k}の県庁所在地はどこですか。") for k in range(6)],
    )
    write_lines(
        folder / "jnli" / "valid-v1.2.json",
        [
            {
                "sentence_pair_id": str(k),
                "sentence1": f"川{k}が長い。",
                "sentence2": "川がある。",
                "label": label,
            }
            for k, label in enumerate(["entailment", "contradiction", "neutral", "entailment"])
        ],
    )
    write_lines(
        folder / "marc_ja" / "valid-v1.0.json",
        [
            {"review_id": f"R{k}", "text": f"この商品{k}は使いやすい。", "label": label}
            for k, label in enumerate(["positive", "negative", "positive"])
        ],
    )
    answers = [{"text": "信濃川", "answer_start": 14}]
    context = "川 [SEP] 日本で一番長い川は信濃川である。"
    answers[0]["answer_start"] = context.index("信濃川")
    qas = [{"id": f"q{k}", "question": f"長い川{k}は何か。", "answers": answers} for k in range(2)]
    (folder / "jsquad").mkdir()
    (folder / "jsquad" / "valid-v1.3.json").write_text(
        json.dumps({"data": [{"title": "川", "paragraphs": [{"context": context, "qas": qas}]}]})
    )
    write_lines(folder / "english" / "valid-v1.0.json", [{"text": SENTENCES[-1]}, {"text": "The sea."}])
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "base")
    write_tokens(folder / "tokens", folder / "base", documents=40)
    write_sets(folder / "sets")
    return folder


@pytest.fixture(scope="module")
def evaluated(world: Path) -> Path:
    """OUT of a whole run, in which any connection is an error."""

    def refuse(*_: object) -> None:
        raise AssertionError("the evaluation went to the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        execute(
            run, SETTINGS, [world / "base", world / "tokens", world / "sets"], world / "evaluation" / "base"
        )
    return world / "evaluation" / "base"


@pytest.fixture(scope="module")
def results(evaluated: Path) -> dict:
    return json.loads((evaluated / "results.json").read_text())


@pytest.fixture(scope="module")
def loaded(world: Path) -> SharedPrefixModel:
    return trained_model(world / "base", SETTINGS)


def predictions(out: Path, task: str, shots: int) -> list[dict]:
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    return [line for line in lines if (line["task"], line["shots"]) == (task, shots)]


def prompts(world: Path, task: str, shots: int, settings: EvaluateSettings = SETTINGS) -> list[str]:
    built = build_task(task, shots, settings, load_sets(settings, world / "sets"))
    built.build_all_requests()
    return list(dict.fromkeys(instance.args[0] for instance in built.instances))


def test_results_carry_scores_with_data_version_prompt_version_and_shots(world: Path, results: dict) -> None:
    assert results["harness"].startswith("lm-eval ")
    assert (results["prompt_version"], results["seed"], results["dtype"]) == ("0.1", 20260101, "float32")
    assert {task: list(scores) for task, scores in results["tasks"].items()} == {
        "jcommonsenseqa": ["0", "2"],
        "jnli": ["0", "1"],
        "jsquad": ["0"],
        "marc_ja": ["0"],
    }
    assert results["tasks"]["jcommonsenseqa"]["2"]["n"] == 6
    content = (world / "sets" / "jnli" / "valid-v1.2.json").read_bytes()
    expected = {
        "split": "valid",
        "version": "v1.2",
        "sha256": hashlib.sha256(content).hexdigest(),
        "items": 4,
    }
    assert results["data_versions"]["jnli"] == expected
    assert results["data_versions"]["jcommonsenseqa"]["examples"]["version"] == "v1.3"


def test_results_name_what_was_skipped_and_what_a_suite_lacks(results: dict) -> None:
    assert results["skipped"] == {"xlsum_ja": "its licence is being asked for"}
    assert results["suites"]["4"]["missing"] == ["jcommonsenseqa", "jnli", "marc_ja", "jsquad"]  # other shots
    assert results["suites"]["8"]["mean"] is None


def test_every_score_has_an_interval_and_every_item_its_scores(evaluated: Path, results: dict) -> None:
    for task, by_shots in results["tasks"].items():
        for shots, scores in by_shots.items():
            for metric, interval in scores["intervals"].items():
                assert interval["low"] <= scores[metric] <= interval["high"]
            lines = predictions(evaluated, task, int(shots))
            assert len({line["id"] for line in lines}) == len(lines) == scores["n"]
            mean = np.mean([line["scores"][scores["main"]] for line in lines])
            assert mean == pytest.approx(scores[scores["main"]], abs=1e-6)


def test_likelihoods_equal_a_direct_computation(world: Path, evaluated: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(world / "base").eval()
    tokenizer = AutoTokenizer.from_pretrained(world / "base")
    items = load_sets(SETTINGS, world / "sets")["jcommonsenseqa"]["valid"].items
    for item, line in zip(items, predictions(evaluated, "jcommonsenseqa", 0), strict=True):
        encoded = [tokenizer.encode(f"質問：{item.question}\n答え：{choice}") for choice in item.choices]
        shared = next(k for k in range(99) if len({tuple(ids[: k + 1]) for ids in encoded}) > 1)
        prompt = tokenizer.encode(f"質問：{item.question}\n答え：")
        border = min(shared, len(prompt))
        expected = []
        for ids in encoded:
            with torch.no_grad():
                logs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            expected.append(sum(float(logs[at - 1, ids[at]]) for at in range(border, len(ids))))
        assert line["likelihoods"] == pytest.approx(expected, abs=1e-3)
        assert line["prediction"] == item.choices[int(np.argmax(expected))]
        assert line["right"] == item.choices[item.label]


def test_likelihoods_of_a_bfloat16_model_are_summed_in_float32(world: Path) -> None:
    settings = SETTINGS.model_copy(update={"dtype": "bfloat16", "tasks": ("jcommonsenseqa",)})
    model = trained_model(world / "base", settings)
    _, lines = score_tasks(model, settings, load_sets(settings, world / "sets"), chat=False)
    values = torch.tensor([value for line in lines for value in line["likelihoods"]])
    assert model.model.dtype == torch.bfloat16
    assert ((values.bfloat16().float() - values).abs() > 1e-3).float().mean() > 0.5


def test_accuracy_is_the_share_of_right_predictions(evaluated: Path, results: dict) -> None:
    for task in ("jcommonsenseqa", "jnli", "marc_ja"):
        lines = predictions(evaluated, task, 0)
        share = sum(line["prediction"] == line["right"] for line in lines) / len(lines)
        assert results["tasks"][task]["0"]["acc"] == pytest.approx(share, abs=1e-6)


def test_labels_are_asked_for_in_japanese_words_of_one_length(evaluated: Path) -> None:
    assert [line["right"] for line in predictions(evaluated, "jnli", 0)] == ["含意", "矛盾", "中立", "含意"]
    assert [line["right"] for line in predictions(evaluated, "marc_ja", 0)] == ["肯定", "否定", "肯定"]


def test_zero_shot_prompt_holds_the_question_alone(world: Path) -> None:
    assert prompts(world, "jcommonsenseqa", 0)[0] == "質問：第0の県庁所在地はどこですか。\n答え："
    assert "選択肢：松山市、高松市" in prompts(world, "jcommonsenseqa", 0, EvaluateSettings())[0]


def test_few_shot_examples_come_from_the_train_split_with_their_answers(world: Path) -> None:
    for prompt in prompts(world, "jcommonsenseqa", 2):
        *examples, question = prompt.split("\n\n")
        assert len(examples) == 2
        for example in examples:
            number = int(example.removeprefix("質問：例")[0])
            assert example.endswith(f"答え：{CITIES[number * 2 % 5]}")
        assert question.endswith("答え：")


def test_few_shot_without_train_split_never_shows_the_item_itself(world: Path) -> None:
    asked = prompts(world, "jnli", 3)
    assert len(asked) == 4
    for number, prompt in enumerate(asked):
        assert prompt.count(f"川{number}が長い。") == 1
        assert prompt.endswith(f"前提：川{number}が長い。\n仮説：川がある。\n関係：")
        assert prompt.count("関係：") == 4


def test_more_shots_than_examples_is_refused(world: Path) -> None:
    with pytest.raises(KajiyaError, match="4 examples of jnli asked for, but its valid split has 4 items"):
        prompts(world, "jnli", 4)


def choices_of(item: int, prompt: str, *choices: str, task: str = "cities@0") -> list[Instance]:
    return [
        Instance("loglikelihood", {}, (prompt, choice), number, metadata=(task, item, 1))
        for number, choice in enumerate(choices)
    ]


def test_choices_that_merge_with_the_prompt_are_split_where_all_agree(loaded: SharedPrefixModel) -> None:
    encoded = loaded.encode_requests(choices_of(0, "日本の松", "山市です。", "の木です。"))
    for (context, choice), given, scored in encoded:
        assert [*given, *scored] == loaded.tok_encode(context + choice)
    assert [*encoded[0][1]] == [*encoded[1][1]]
    assert len(encoded[0][1]) < len(loaded.tok_encode("日本の松"))  # "松山市" is one piece: the border moved


def test_item_is_cut_alike_whatever_other_items_are_asked(loaded: SharedPrefixModel) -> None:
    """Another item with the same prompt, or another task, has choices that merge; these do not."""
    one = choices_of(0, "日本の松", "の木です。", "の花です。")
    other = choices_of(1, "日本の松", "山市です。", "の木です。")
    elsewhere = choices_of(0, "日本の松", "山市です。", "の木です。", task="rivers@0")
    alone = [[*given] for _, given, _ in loaded.encode_requests(one)]
    beside = [[*given] for _, given, _ in loaded.encode_requests([*one, *other, *elsewhere])]
    assert beside[:2] == alone
    assert beside[2:] != alone * 2


def test_model_with_a_weight_that_is_no_number_is_refused_by_name(world: Path) -> None:
    model = trained_model(world / "base", SETTINGS)
    model.model.model.layers[0].mlp.up_proj.weight.data[3, 5] = float("nan")
    settings = SETTINGS.model_copy(update={"tasks": ("jnli",)})
    sets = load_sets(settings, world / "sets")
    with pytest.raises(KajiyaError, match=r"base: the model gives a text no likelihood.*weights are damaged"):
        score_tasks(model, settings, sets, chat=False)
    with pytest.raises(KajiyaError, match="base: the model gives a text no likelihood"):
        measure_perplexity(model, settings, world / "tokens", None)


def test_prompt_longer_than_the_context_is_counted(world: Path, results: dict, tmp_path: Path) -> None:
    assert results["tasks"]["jcommonsenseqa"]["0"]["truncated"] == 0
    write_model(tmp_path, max_position_embeddings=48)
    settings = SETTINGS.model_copy(
        update={"tasks": ("jnli", "jsquad"), "shots": {"jnli": (0, 3), "jsquad": (0,)}}
    )
    scores, _ = score_tasks(
        trained_model(tmp_path, settings), settings, load_sets(settings, world / "sets"), chat=False
    )
    assert scores["jnli"]["3"]["truncated"] == scores["jnli"]["3"]["n"] == 4
    assert scores["jsquad"]["0"]["truncated"] == 2


def test_limit_takes_items_by_seed_and_a_larger_one_keeps_them() -> None:
    few, more = chosen_items(100, 5, seed=1), chosen_items(100, 20, seed=1)
    assert len(few) == 5
    assert set(few) < set(more)
    assert few != chosen_items(100, 5, seed=2)
    assert few != [0, 1, 2, 3, 4]
    assert chosen_items(3, None, seed=1) == [0, 1, 2]


def test_perplexity_of_a_uniform_model_is_the_size_of_its_vocabulary(world: Path, tmp_path: Path) -> None:

    model = trained_model(world / "base", SETTINGS)
    model.model.lm_head.weight.data.zero_()
    measured = measure_perplexity(
        model, SETTINGS, world / "tokens", load_sets(SETTINGS, world / "sets")["english"]
    )
    assert set(measured) == {"wikipedia", "diet", "english"}
    for figures in measured.values():
        assert figures["perplexity"] == pytest.approx(model.vocab_size, rel=1e-4)
        bits = np.log2(model.vocab_size) * figures["tokens"]
        assert figures["bits_per_byte"] == pytest.approx(bits / figures["bytes"], rel=1e-4)


def test_perplexity_covers_every_token_but_the_first_once(world: Path, results: dict) -> None:
    tokens = sum(results["perplexity"][source]["tokens"] for source in ("wikipedia", "diet"))
    assert tokens == len(np.load(world / "tokens" / "validation.npy")) - 1


def test_perplexity_of_a_document_does_not_see_the_one_before(loaded: SharedPrefixModel) -> None:
    first, second = (np.array([*loaded.tok_encode(text), 1]) for text in SENTENCES[:2])
    alone = token_losses(loaded, [second])[0]
    packed, shorter = token_losses(loaded, [np.concatenate([first, second]), second])
    assert packed[len(first) :] == pytest.approx(alone, abs=1e-4)
    assert shorter == pytest.approx(alone, abs=1e-4)


def test_untrained_model_stands_beside_the_base_alone(world: Path, results: dict) -> None:
    assert results["untrained"]["jcommonsenseqa"]["0"]["n"] == 6
    out = world / "evaluation" / "instruct"
    settings = SETTINGS.model_copy(
        update={"tasks": ("jnli",), "chat_variants": ("instruct",), "english": False}
    )
    execute(run, settings, [world / "base", world / "tokens", world / "sets"], out)
    tuned = json.loads((out / "results.json").read_text())
    assert "untrained" not in tuned
    assert (results["chat_template"], tuned["chat_template"]) == (False, True)
    assert set(tuned["tasks"]) == {"jnli"}
    assert "english" not in tuned["perplexity"]


def test_evaluate_run_again_gives_the_same_bytes(world: Path, evaluated: Path, tmp_path: Path) -> None:
    out = tmp_path / "base"
    execute(run, SETTINGS, [world / "base", world / "tokens", world / "sets"], out)
    for name in ("results.json", "predictions.jsonl"):
        assert (out / name).read_bytes() == (evaluated / name).read_bytes()
    assert (tmp_path / "base.report.json").read_bytes() == (
        world / "evaluation" / "base.report.json"
    ).read_bytes()


def test_missing_set_names_the_folder_and_the_setting(world: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "jnli" / "valid-v1.3.json", [])
    with pytest.raises(KajiyaError, match=r"jcommonsenseqa: no such folder.*leave it out of evaluate\.tasks"):
        run(SETTINGS, world / "base", world / "tokens", tmp_path, out=tmp_path / "base")
    with pytest.raises(KajiyaError, match=r"english: no such folder.*set evaluate\.english to false"):
        load_sets(EvaluateSettings(tasks=()), tmp_path)


def test_sets_that_no_task_asks_for_may_be_missing(world: Path, tmp_path: Path) -> None:
    (tmp_path / "jnli").symlink_to(world / "sets" / "jnli")
    assert list(load_sets(EvaluateSettings(tasks=("jnli",), english=False), tmp_path)) == ["jnli"]


@pytest.mark.parametrize(
    ("answer", "exact", "f1"),
    [
        (" 信濃川", 1.0, 1.0),
        ("「信濃川」。", 1.0, 1.0),
        ("信濃", 0.0, 0.8),
        ("利根", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_answer_is_compared_without_space_and_marks_around_it(answer: str, exact: float, f1: float) -> None:
    scores = answer_scores({"answers": ["信濃川", "千曲川"]}, [answer])
    assert scores == pytest.approx({"exact_match": exact, "f1": f1})


def test_balanced_accuracy_of_always_one_label_is_chance() -> None:
    assert balanced_accuracy([(0, 0)] * 8 + [(1, 0), (2, 0)]) == pytest.approx(1 / 3)
    assert balanced_accuracy([(0, 0), (0, 1), (1, 1)]) == pytest.approx(0.75)


def test_accuracy_per_character_forgives_a_long_choice() -> None:
    item = {"label": 1, "texts": ["川", "とても長い川"]}
    assert choice_scores(item, [(-4.0, False), (-6.0, False)]) == {"acc": 0.0, "acc_norm": 1.0}


def test_evaluate_help_does_not_wait_for_torch() -> None:
    code = "import sys, components.evaluate; sys.exit('torch' in sys.modules or 'lm_eval' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_evaluation_can_be_compared_with_another_of_the_same_items(evaluated: Path, results: dict) -> None:
    """What the stage writes is what kajiya.comparison reads: every task, every metric, the same scores."""
    comparison = compare(evaluated, evaluated, seed=1)
    asked = {(task, int(shots)) for task, by_shots in results["tasks"].items() for shots in by_shots}
    assert {(one.task, one.shots) for one in comparison.differences} == asked
    for one in comparison.differences:
        assert one.before == pytest.approx(
            100 * results["tasks"][one.task][str(one.shots)][one.metric], abs=0.01
        )
        assert (one.difference, one.real) == (0.0, False)
    assert {one.metric for one in comparison.differences} >= {"acc", "balanced_acc", "exact_match", "f1"}
