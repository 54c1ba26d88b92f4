"""Our scores are those of a plain lm-eval run of the same tasks on the same model, item by item."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from evaluation_world import HUB, write_published
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import __file__ as lm_eval_tasks
from lm_eval.tasks._yaml_loader import load_yaml
from tiny_model import write_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from components.evaluate import EvaluateSettings, load_sets
from components.evaluate.models import SharedPrefixModel, trained_model
from components.evaluate.scores import score_tasks
from components.evaluate.tasks import _prompt_file, build_task
from kajiya.errors import KajiyaError

SHOTS = dict.fromkeys(HUB, (2,)) | {"xwinograd_ja": (0,), "jaqket_v2": (1,), "xlsum_ja": (1,)}
SETTINGS = EvaluateSettings(
    tasks=tuple(HUB), shots=SHOTS, prompts="harness", batch_tokens=256, dtype="float32", english=False
)
TEMPLATE = (
    "{% for m in messages %}{{ '生徒：' if m['role'] == 'user' else '先生：' }}{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}先生：{% endif %}"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agreement")
    write_model(folder / "model", max_position_embeddings=1024)
    write_published(folder / "sets")
    return folder


@pytest.fixture(scope="module")
def loaded(world: Path) -> Iterator[SharedPrefixModel]:
    """With answers of a dozen tokens, of both runs alike: lm-eval's task files let a model write 256."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HFLM, "max_gen_toks", 12)
        yield trained_model(world / "model", SETTINGS)


@pytest.fixture(scope="module")
def plain_model(world: Path) -> HFLM:
    model = AutoModelForCausalLM.from_pretrained(world / "model")
    return HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(world / "model"), batch_size=4)


def shipped_task(name: str) -> ConfigurableTask:
    """A task file as lm-eval ships it, over the hub's fields; nothing of ours in between."""
    pattern = "gsm8k.yaml" if name == "gsm8k" else f"*_{name.removesuffix('_ja')}.yaml"
    path = next(Path(lm_eval_tasks).parent.glob(f"*/{pattern}"), None) or next(
        Path(lm_eval_tasks).parent.glob(f"*/ja_leaderboard_{name}.yaml")
    )
    splits = {"test": Dataset.from_list(HUB[name])}
    config = load_yaml(path) | {
        "custom_dataset": lambda **_: splits,
        "training_split": None,
        "validation_split": None,
        "test_split": "test",
        "fewshot_split": "test",
        "num_fewshot": SHOTS[name][0],
    }
    config.pop("tag", None)
    task = ConfigurableTask(config=config)
    task.set_fewshot_seed(1234)
    return task


def compare(ours: list[dict[str, Any]], plain: list[dict[str, Any]]) -> None:
    """Answers to the letter, likelihoods but for rounding, scores to the digit."""
    first = [sample for sample in plain if sample["filter"] == plain[0]["filter"]]
    assert len(ours) == len(first)
    for mine, sample in zip(ours, first, strict=True):
        if "likelihoods" in mine:
            expected = [value for value, _ in sample["filtered_resps"]]
            assert mine["likelihoods"] == pytest.approx(expected, abs=2e-4)
        else:
            assert mine["prediction"] == sample["filtered_resps"][0]
        for metric, value in mine["scores"].items():
            if metric in sample and isinstance(sample[metric], int | float):
                assert value == round(sample[metric], 6)


def test_every_task_file_of_lm_eval_gives_the_same_answers_and_scores(
    world: Path, loaded: SharedPrefixModel, plain_model: HFLM
) -> None:
    scores, predictions = score_tasks(loaded, SETTINGS, load_sets(SETTINGS, world / "sets"), chat=False)
    plain = evaluate(plain_model, {"tasks": {name: shipped_task(name) for name in HUB}}, bootstrap_iters=0)
    for name in HUB:
        compare([one for one in predictions if one["task"] == name], plain["samples"][name])
        (mine,) = scores[name].values()
        assert mine["prompts"].startswith("harness ")
        for key, value in plain["results"][name].items():
            metric, _, kept = key.partition(",")
            if (
                kept in ("none", "whitespaces", "strict-match")
                and "_stderr" not in metric
                and name != "xlsum_ja"
            ):
                assert mine[metric] == round(float(value), 6), (name, metric)


@pytest.fixture
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a dozen tokens under our wordings too."""

    def shortened(version: str) -> dict[str, Any]:
        sections = deepcopy(_prompt_file(version))
        for section in sections.values():
            if "generation_kwargs" in section:
                section["generation_kwargs"]["max_gen_toks"] = 12
        return sections

    monkeypatch.setattr("components.evaluate.tasks._prompt_file", shortened)


@pytest.mark.parametrize(
    ("prompts", "chat"),
    [("0.1", False), ("0.2", False), ("0.3", False), ("0.2", True), ("harness", True)],
)
@pytest.mark.usefixtures("short_answers")
def test_every_wording_gives_what_plain_lm_eval_gives_as_text_and_as_chat(
    world: Path,
    loaded: SharedPrefixModel,
    plain_model: HFLM,
    monkeypatch: pytest.MonkeyPatch,
    prompts: str,
    chat: bool,
) -> None:
    tasks = tuple(HUB) if prompts == "harness" else (*HUB, "arc", "jmmlu")
    settings = SETTINGS.model_copy(
        update={
            "tasks": tasks,
            "prompts": prompts,
            "borders": "harness",
            "shots": dict.fromkeys(tasks, (1,)),
        }
    )
    for model in (loaded, plain_model):
        monkeypatch.setattr(model.tokenizer, "chat_template", TEMPLATE)
    sets = load_sets(settings, world / "sets")
    scores, predictions = score_tasks(loaded, settings, sets, chat=chat)
    same = {name: build_task(name, 1, settings, sets) for name in tasks}
    plain = evaluate(
        plain_model,
        {"tasks": same},
        bootstrap_iters=0,
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
    )
    for name in tasks:
        asked = plain["samples"][name][0]["arguments"][0][0]
        assert ("</s>生徒：" in asked) == chat
        compare([one for one in predictions if one["task"] == name], plain["samples"][name])
        if prompts != "harness":
            assert scores[name]["1"]["prompts"] == f"{prompts}, cut as lm-eval"


def cities(
    tmp_path: Path, model: SharedPrefixModel, first: str, borders: str
) -> tuple[Any, list[dict[str, Any]]]:
    """Scores of two questions; the prompt of the one ends in 松, and `first` is one of its choices."""
    (tmp_path / "cities").mkdir(exist_ok=True)
    (tmp_path / "cities" / "test.csv").write_text(f"日本の松,{first},の木です。,A\n市は？,松山市,うどん,A\n")
    update = {"tasks": ("cities",), "prompts": "0.1", "choices": "cloze", "borders": borders}
    settings = SETTINGS.model_copy(update=update)
    with pytest.MonkeyPatch.context() as patch:
        sections = {
            "multiple_choice_ja_cloze": {"doc_to_text": "{{question}}"},
            "defaults": {"target_delimiter": ""},
        }
        patch.setattr("components.evaluate.tasks._prompt_file", lambda _: sections)
        scores, predictions = score_tasks(model, settings, load_sets(settings, tmp_path), chat=False)
    return scores["cities"]["0"], predictions


def test_requests_that_lm_eval_cuts_elsewhere_are_counted_and_all_others_agree(
    loaded: SharedPrefixModel, plain_model: HFLM, tmp_path: Path
) -> None:
    """松 merges with 山市です。: lm-eval gives the model 松 and then scores 川 alone."""
    aligned, ours = cities(tmp_path, loaded, "山市です。川", "shared")
    cut, theirs = cities(tmp_path, loaded, "山市です。川", "harness")
    assert aligned["merged"] == cut["merged"] == 2  # both choices of the one question: they share a border
    assert ours[0]["likelihoods"] != theirs[0]["likelihoods"]
    assert ours[1] == theirs[1]
    whole = plain_model.tok_encode("日本の松山市です。川")
    given, scored = plain_model._encode_pair("日本の松", "山市です。川")
    assert given + scored != whole  # what lm-eval reads is no text at all


def test_choice_that_merges_whole_is_scored_by_us_and_ends_a_plain_run(
    loaded: SharedPrefixModel, plain_model: HFLM, tmp_path: Path
) -> None:
    _, ours = cities(tmp_path, loaded, "山市です。", "shared")
    assert ours[0]["likelihoods"][0] < 0
    with pytest.raises(KajiyaError, match=r"0 tokens long.*evaluate\.borders: shared"):
        cities(tmp_path, loaded, "山市です。", "harness")
    assert plain_model._encode_pair("日本の松", "山市です。")[1] == []
