"""The evaluation benchmark: the same questions for both sides, every answer compared, and its table."""

import json

import pytest
from tiny_model import write_model

from benchmarks import eval as benchmark
from benchmarks.eval_table import table, with_table
from benchmarks.machine import machine


def write_sets(folder):
    """Eight questions with choices, and arithmetic in MGSM's table."""
    (folder / "jcommonsenseqa").mkdir(parents=True)
    records = [
        {"q_id": k, "question": f"第{k}の県の市はどこ。", "label": k % 5}
        | {f"choice{c}": f"{'松高青徳長'[c]}山市{'です' * (c % 2)}" for c in range(5)}
        for k in range(8)
    ]
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (folder / "jcommonsenseqa" / "valid-v1.3.json").write_text("".join(lines), encoding="utf-8")
    (folder / "mgsm").mkdir()
    sums = "".join(f"りんごが{k}個あり、{k + 1}個もらった。何個ですか。\t{2 * k + 1}\n" for k in range(6))
    (folder / "mgsm" / "mgsm_ja.tsv").write_text(sums, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Of a tiny work in place of the real one, each side in a process of its own."""
    folder = tmp_path_factory.mktemp("eval")
    sets = write_sets(folder / "sets")
    tasks = {
        "jcommonsenseqa": {"shots": 1, "items": 6},
        "mgsm": {"shots": 0, "items": 5, "new_tokens": 7},
    }
    tiny = benchmark.WORKS["cpu"]._replace(
        model=lambda out: write_model(out, max_position_embeddings=256), tasks=tasks, batches={4: (*tasks,)},
        sets=(sets / "jcommonsenseqa", sets / "mgsm"), settings={"choices": "cloze"},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(benchmark.WORKS, "cpu", tiny)
        patch.setattr(benchmark, "gpu_name", lambda: None)
        places = ["--work", str(folder / "work"), "--out", str(folder / "out.json")]
        benchmark.main(["--only", "cpu", "gpu", "--rounds", "1", *places])
    return json.loads((folder / "out.json").read_text(encoding="utf-8"))["rows"]


def test_both_sides_give_the_same_answers_and_scores(rows):
    choices, texts, whole = rows[:3]
    assert [row["differing"] for row in (choices, texts, whole)] == [0, 0, 0]
    assert 0 <= choices["nats"] < 1e-4
    assert texts["nats"] is None
    assert (choices["requests"], texts["requests"], whole["requests"]) == (30, 5, 35)


def test_ratio_is_that_of_the_speeds_beside_the_best_batch_size(rows):
    for row in rows[:3]:
        assert row["ratio"] == pytest.approx(row["ours"] / row["peer_value"], rel=0.01)
        assert (row["unit"], row["cores"], row["reason"]) == ("requests per CPU second", 1, None)
    assert rows[0]["peer"] == "lm-eval, batch size 4"
    assert rows[1]["input"] == "mgsm 0-shot, 5 items, 7 new tokens; one turn"
    assert rows[0]["command"] == "python -m benchmarks.eval --only cpu --rounds 1"


def test_rows_of_a_gpu_without_one_are_not_measured_and_say_so(rows):
    assert {row["ours"] for row in rows[3:]} == {None}
    assert table({"rows": rows, "machine": machine()}).count("not measured: no GPU here") == 1


def test_answers_and_scores_that_are_not_the_same_are_counted():
    ours = {"scores": {"acc,none": 0.5, "f1,none": 1.0}, "answers": [[-1.0, -2.0], [-3.0, -1.0], ["川"]]}
    theirs = {"scores": {"acc,none": 0.5, "f1,none": 0.0}, "answers": [[-1.5, -2.0], [-1.0, -1.1], ["山"]]}
    assert benchmark.compared(ours, theirs) == {"differing": 3, "nats": 2.0}


def test_results_hold_those_of_quantizing_that_lie_beside_them(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "gpu_name", lambda: None)
    (tmp_path / "quantize.json").write_text(json.dumps({"rows": [{"name": "cpu-gptq", "ratio": 1.05}]}))
    benchmark.main(["--only", "gpu", "--work", str(tmp_path), "--out", str(tmp_path / "eval.json")])
    results = json.loads((tmp_path / "eval.json").read_text(encoding="utf-8"))
    assert {row["name"] for row in results["rows"]} == {"gpu"}
    assert results["quantization"] == [{"name": "cpu-gptq", "ratio": 1.05}]


def test_table_of_the_page_is_that_of_the_results():
    document = benchmark.DOCUMENT.read_text(encoding="utf-8")
    assert with_table(json.loads(benchmark.RESULTS.read_text(encoding="utf-8")), document) == document
