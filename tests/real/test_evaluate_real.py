"""The real files through small models: every item can be asked, chance is all that a random model reaches, and
every score is that of a plain lm-eval run of the same task files."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import __file__ as lm_eval_tasks
from lm_eval.tasks._yaml_loader import load_yaml
from tiny_model import write_model, write_tokens
from transformers import AutoModelForCausalLM, AutoTokenizer

from components.evaluate import EvaluateSettings, load_sets, run
from components.evaluate.models import trained_model
from components.evaluate.scores import chosen_items, score_tasks
from components.evaluate.tasks import build_task
from kajiya.errors import KajiyaError
from kajiya.evaluation_items import MTBenchAnswer
from kajiya.evaluation_sets import load_all, load_file, read_records
from kajiya.lm.llama2c import convert_llama2c
from kajiya.stage import execute

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not (DATA / "jglue").is_dir(), reason=f"no real data at {DATA}")

SETTINGS = EvaluateSettings(
    tasks=("jcommonsenseqa", "jnli", "jsquad"),
    shots={"jcommonsenseqa": (0, 3), "jnli": (0, 3), "jsquad": (0,)},
    limit={"jcommonsenseqa": 48, "jnli": 48, "jsquad": 4},
    english=False,
)
TASKS = {"jcommonsenseqa": (3, 24), "jnli": (3, 24), "jsquad": (2, 4), "mgsm": (5, 3), "gsm8k": (1, 3)}
"""Shots and items to compare with lm-eval."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folders as they are, side by side."""
    folder = tmp_path_factory.mktemp("sets")
    for name in ("jglue", "mgsm", "gsm8k", "elyza_tasks_100", "ja_mt_bench"):
        (folder / name).symlink_to(DATA / name)
    return folder


def test_jglue_with_a_random_model_gives_chance_and_its_version(sets: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "base", max_position_embeddings=1024)
    write_tokens(tmp_path / "tokens", tmp_path / "base", documents=20)
    execute(run, SETTINGS, [tmp_path / "base", tmp_path / "tokens", sets], tmp_path / "evaluation" / "base")
    results = json.loads((tmp_path / "evaluation" / "base" / "results.json").read_text())
    assert {versions["version"] for versions in results["data_versions"].values()} == {"v1.3"}
    for task, chance in (("jcommonsenseqa", 1 / 5), ("jnli", 1 / 3)):
        for shots in ("0", "3"):
            scores = results["tasks"][task][shots]
            assert scores["n"] == 48
            balanced = scores.get("balanced_acc", scores["acc"])
            assert abs(balanced - chance) < 0.25  # about four standard errors
    assert results["tasks"]["jsquad"]["0"]["f1"] < 0.3


def test_jglue_prompts_of_every_item_hold_question_and_context(sets: Path) -> None:
    loaded = load_sets(SETTINGS, sets)
    counts = {"jcommonsenseqa": 1119, "jnli": 2434, "jsquad": 4442}
    for name, count in counts.items():
        task = build_task(name, 0, SETTINGS, loaded)
        assert len(task.eval_docs) == count
        for item, doc in zip(loaded[name]["valid"].items[:200], task.eval_docs, strict=False):
            prompt = task.doc_to_text(doc)
            assert doc["id"] == item.id
            parts = (item.sentence1, item.sentence2) if name == "jnli" else (item.question,)
            assert all(part in prompt for part in parts)
            assert "[SEP]" not in prompt


def test_every_published_file_is_read_whole_and_the_corpus_cleared_of_it(sets: Path) -> None:
    found = {(one.name, one.split): one for one in load_all(sets)}
    assert {key: len(one.items) for key, one in found.items() if not key[0].startswith("jglue/")} == {
        ("elyza_tasks_100", "test"): 100,
        ("gsm8k", "test"): 1319,
        ("ja_mt_bench", "test"): 80,
        ("mgsm", "test"): 250,
        ("mgsm_en", "test"): 250,
    }
    numbers = [item.number for item in found["mgsm", "test"].items]
    assert numbers == [item.number for item in found["mgsm_en", "test"].items]
    assert [item.number for item in found["gsm8k", "test"].items[:3]] == numbers[:3]
    references = read_records(MTBenchAnswer, DATA / "ja_mt_bench" / "reference_answer" / "gpt-4.jsonl")
    assert {one.id for one in references} == {item.id for item in found["ja_mt_bench", "test"].items}


def test_defective_question_is_refused_with_file_and_line() -> None:
    path = DATA / "ja_mt_bench" / "question_full@4c21cfe_parent.jsonl"
    with pytest.raises(KajiyaError, match=r"question_full@4c21cfe_parent\.jsonl:50: invalid JSON"):
        load_file("ja_mt_bench", "test", path)


def hub_items(name: str) -> list[dict[str, Any]]:
    """The real items with the fields of the hub's data sets, read without any of our readers."""
    if name == "mgsm":
        lines = [line.split("\t") for line in (DATA / "mgsm" / "mgsm_ja.tsv").read_text().splitlines()]
        numbers = [float(number.replace(",", "")) for _, number in lines]
        return [
            {"question": text, "answer": f"{number:g}", "answer_number": number}
            for (text, _), number in zip(lines, numbers, strict=True)
        ]
    if name == "jsquad":
        data = json.loads((DATA / "jglue/jsquad/valid-v1.3.json").read_text())["data"]
        return [
            {"context": paragraph["context"], "question": one["question"], "answers": {"text": [one["answers"][0]["text"]]}}
            for article in data for paragraph in article["paragraphs"] for one in paragraph["qas"]
        ]  # fmt: skip
    path = {"gsm8k": "gsm8k/test.jsonl"}.get(name, f"jglue/{name}/valid-v1.3.json")
    records = [json.loads(line) for line in (DATA / path).read_text().splitlines()]
    labels = ["entailment", "contradiction", "neutral"]
    return [one | {"label": labels.index(one["label"])} for one in records] if name == "jnli" else records


def shipped_task(name: str) -> ConfigurableTask:
    """lm-eval's own task file; JCommonsenseQA's examples are of its training file, the others' of the items."""
    task_name = name if name == "gsm8k" else f"ja_leaderboard_{name}"
    splits = {"test": Dataset.from_list(hub_items(name))}
    if name == "jcommonsenseqa":
        lines = (DATA / "jglue/jcommonsenseqa/train-v1.3.json").read_text().splitlines()
        splits["train"] = Dataset.from_list([json.loads(line) for line in lines])
    config = load_yaml(next(Path(lm_eval_tasks).parent.glob(f"*/{task_name}.yaml"))) | {
        "custom_dataset": lambda **_: splits,
        "training_split": None,
        "validation_split": None,
        "test_split": "test",
        "fewshot_split": "train" if "train" in splits else "test",
        "num_fewshot": TASKS[name][0],
    }
    config.pop("tag", None)
    task = ConfigurableTask(config=config)
    task.set_fewshot_seed(1234)
    return task


def models(tmp_path: Path) -> dict[str, Path]:
    """A random Llama with Japanese pieces, and real weights that tell English stories."""
    write_model(tmp_path / "random", max_position_embeddings=2048)
    source = DATA / "stories260k"
    convert_llama2c(source / "stories260K.bin", source / "tok512.bin", tmp_path / "stories")
    return {name: tmp_path / name for name in ("random", "stories")}


def test_scores_of_the_real_files_are_those_of_plain_lm_eval(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HFLM, "max_gen_toks", 16)  # lm-eval's task files let a model write 256 tokens
    settings = EvaluateSettings(
        tasks=tuple(TASKS),
        shots={name: (shots,) for name, (shots, _) in TASKS.items()},
        limit={name: limit for name, (_, limit) in TASKS.items()},
        prompts="harness",
        dtype="float32",
        english=False,
    )
    loaded = load_sets(settings, sets)
    chosen = {
        name: chosen_items(len(loaded[name]["valid"].items), limit, settings.seed)
        for name, (_, limit) in TASKS.items()
    }
    for folder in models(tmp_path).values():
        scores, predictions = score_tasks(trained_model(folder, settings), settings, loaded, chat=False)
        plain_model = HFLM(
            pretrained=AutoModelForCausalLM.from_pretrained(folder),
            tokenizer=AutoTokenizer.from_pretrained(folder),
            batch_size=8,
        )
        tasks = {name: shipped_task(name) for name in TASKS}
        plain = evaluate(plain_model, {"tasks": tasks}, samples=chosen, bootstrap_iters=0)
        for name, (shots, limit) in TASKS.items():
            mine = scores[name][str(shots)]
            for key, value in plain["results"][name].items():
                metric, _, kept = key.partition(",")
                if kept in ("none", "whitespaces", "strict-match") and "_stderr" not in metric:
                    assert mine[metric] == round(float(value), 6), (folder.name, name, metric)
            own = [one for one in predictions if one["task"] == name]
            samples = plain["samples"][name][:limit]
            assert len(own) == len(samples) == limit
            for one, sample in zip(own, samples, strict=True):
                if "likelihoods" in one:
                    expected = [value for value, _ in sample["filtered_resps"]]
                    assert one["likelihoods"] == pytest.approx(expected, abs=1e-3)
                else:
                    assert one["prediction"] == sample["filtered_resps"][0]
