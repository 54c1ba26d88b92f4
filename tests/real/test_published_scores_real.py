"""The published scores are those of the sources' tables."""

import csv
import json
import os
from pathlib import Path

import pytest

from kajiya.published_scores import published_scores

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
TABLES = DATA / "leaderboards"
pytestmark = pytest.mark.skipif(not TABLES.is_dir(), reason=f"no real data at {TABLES}")
RAKUTEN = {
    "jcs_3shot": "jcommonsenseqa",
    "jnli_3shot": "jnli",
    "marc_ja_3shot": "marc_ja",
    "jsquad_em_2shot": "jsquad",
    "jaqket_v2_em_1shot": "jaqket_v2",
    "xlsum_ja_rouge2_1shot": "xlsum_ja",
    "xwino_0shot": "xwinograd_ja",
    "mgsm_5shot": "mgsm",
}


def table(name):
    with open(TABLES / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows_from(word):
    return [row for row in published_scores() if word in row.source.title]


def test_stability_rows_are_those_of_the_readme():
    rows = table("stability_jp_stable_readme.csv")
    ours = rows_from("Stability")
    assert len(ours) == len(rows)
    for row, own in zip(rows, ours, strict=True):
        assert own.scores == {task: float(row[task]) for task in own.scores}
        assert len(own.scores) == 8
        assert own.means == {"8": float(row["average"])}
        assert own.model.rpartition("/")[2].endswith(row["hf"].rpartition("/")[2])


def test_prompt_versions_are_those_of_the_result_files():
    runs = {
        (row["file"].split("/")[-2], row["task"].rpartition("-")[2])
        for row in table("stability_jp_stable_results_long.csv")
        if row["task"].startswith("jcommonsenseqa") and row["file"].endswith("/result.json")
    }
    for row, own in zip(table("stability_jp_stable_readme.csv"), rows_from("Stability"), strict=True):
        assert (row["model"], own.prompts) in runs


def test_youri_rows_are_those_of_the_model_card():
    stated = [
        {suite: float(row[f"{suite}task"]) for suite in ("4", "6", "8")}
        for row in table("youri_modelcard_2023-10.csv")
    ]
    assert [own.means for own in rows_from("youri")] == stated


def test_rakuten_rows_are_those_of_the_model_card():
    for row, own in zip(table("rakuten_modelcard_instruct.csv"), rows_from("Rakuten"), strict=True):
        assert own.scores == {task: float(row[column]) for column, task in RAKUTEN.items()}
        assert own.means == {"8": float(row["avg8"])}


def test_judged_means_are_those_of_the_judgements():
    for own, file in zip(
        rows_from("Lightblue"),
        ("elyza__ELYZA-japanese-Llama-2-13b-instruct", "meta-llama__Llama-2-7b-chat-hf"),
        strict=True,
    ):
        text = (DATA / "elyza_judgements" / f"{file}.json").read_text(encoding="utf-8")
        scores = [json.loads(line)["score"] for line in text.splitlines()]
        assert own.judged == {"elyza_tasks_100": pytest.approx(sum(scores) / 100)}
