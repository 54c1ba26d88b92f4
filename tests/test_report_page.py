"""The page of a recipe: every number from the files, in both languages, and words where a part is missing."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from fake_judge import FakeJudge
from judging_world import judge, world

from kajiya.errors import KajiyaError
from kajiya.git import code_state
from kajiya.report import Report
from kajiya.report_pages import recipe_page
from kajiya.report_pages.curves import thinned
from kajiya.report_pages.dot_chart import Dot, DotRow, dot_chart
from kajiya.report_pages.records import read_lines
from kajiya.report_pages.training import forgetting_table
from kajiya.report_pages.words import FILE, Words
from kajiya.run_record import PRICE
from tests.finished_project import commit, make_project, write_report, write_run
from tests.report_html import headings, language, outside, rows

EN = Words("en")


@pytest.fixture
def project(tmp_path, monkeypatch):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    root = make_project(tmp_path / "project", model)
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv(PRICE, raising=False)
    return root


def test_lines_of_json_are_read_whole_and_one_that_a_kill_cut_is_left_out(tmp_path):
    row = {"prompt": "続き", "text": "上\u2028中\x85下"}
    line = json.dumps(row, ensure_ascii=False).encode()
    (tmp_path / "samples.jsonl").write_bytes(line + b"\n" + line[:12])

    assert read_lines(tmp_path / "samples.jsonl") == [row]


@pytest.fixture(scope="module")
def judged_scores(tmp_path_factory):
    """What the stage `judge` writes of a judge that leaves one verdict unreadable, and of an answer with one in it."""
    root = tmp_path_factory.mktemp("judged")
    with FakeJudge() as judging, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAJIYA_JUDGE_URL", judging.url)
        patch.delenv("KAJIYA_JUDGE_KEY", raising=False)
        judging.reply = lambda body: (
            "わかりません。" if "\n2番への答え" in body["messages"][1]["content"] else "[[4]]"
        )
        judge(world(root, q1_1="これは [[5]] です。", q3_1=""), root / "out", asks=1)
    return (root / "out" / "scores.json").read_text()


@pytest.fixture
def judged(project, judged_scores):
    folder = project / "models/smoke/judgements/instruct"
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(judged_scores)
    return json.loads(judged_scores)


def page_of(root):
    return recipe_page(root, "smoke", Path("reports"))


def english(root):
    return language(page_of(root), "en")


def change_results(root, variant, **changes):
    path = root / f"models/smoke/evaluation/{variant}/results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_page_counts_documents_per_stage_and_source_with_reasons(project):
    html = english(project)

    assert ["decontaminate", "all sources", "6", "4", "", "2"] in rows(html)
    assert ["", "diet", "3", "2", "", "evaluation_overlap 1"] in rows(html)
    assert "rejected 2 (33.3 %): evaluation_overlap 2" in html  # in the funnel


def test_page_shows_scores_of_all_variants_beside_the_untrained_model_and_chance(project):
    change_results(project, "base", untrained={"jcommonsenseqa": {"0": {"acc": 0.19, "n": 300}}})

    table = [[cell.split(" (")[0] for cell in row] for row in rows(english(project))]  # without intervals

    variants = ["base", "instruct", "gptq", "awq"]
    assert ["task", "shots", "measure", "items", EN("chance"), *variants, "untrained"] in table
    assert ["jcommonsenseqa", "0", "acc", "300", "20.0", "41.0", "42.0", "43.0", "44.0", "19.0"] in table


def test_page_shows_intervals_as_numbers_and_as_whiskers(project):
    measures = {"acc": 0.5, "n": 10, "main": "acc", "intervals": {"acc": {"low": 0.25, "high": 0.75}}}
    change_results(project, "base", tasks={"jnli": {"3": measures}})

    html = english(project)

    assert any(row[:2] == ["jnli", "3"] and "50.0 (25.0 – 75.0)" in row for row in rows(html))
    assert "<title>base: 50.0 (25.0 – 75.0)</title>" in html
    assert "base: jnli, 3-shot: 50.0 (25.0 – 75.0) cannot be told from guessing." in html


def test_page_names_once_what_a_mean_over_tasks_lacks(project):
    suites = {"8": {"mean": None, "missing": ["mgsm", "xlsum_ja"]}, "4": {"mean": 38.75, "missing": []}}
    for variant in ("base", "instruct"):
        change_results(project, variant, suites=suites)

    html = english(project)

    assert ["mean of 8 tasks", "–", "–"] in rows(html)
    assert ["mean of 4 tasks", "38.75", "38.75"] in rows(html)
    assert html.count("Not measured for the mean of 8 tasks: mgsm, xlsum_ja.") == 1


def test_page_shows_published_scores_only_beside_their_number_of_shots(project):
    assert "none was published for these tasks at these numbers of shots" in english(project)
    change_results(project, "base", tasks={"jcommonsenseqa": {"3": {"acc": 0.8, "n": 9}}})

    html = english(project)

    assert "other items" not in html
    assert ">Published scores</" in html
    assert "kajiya did not measure them" in html
    own, llama = (
        next(row for row in rows(html) if row[0].startswith(name)) for name in ("base (this", "meta-llama")
    )
    assert own[1] == "80.00"
    assert len(llama) == len(own)


def test_page_draws_the_loss_of_every_training(project):
    html = english(project)

    assert html.count("<polyline") == 4  # base and instruct: loss and learning rate
    assert "loss 0.45" in html


TABLE = {
    "steps": [
        {"step": step, "values": {"perplexity/english": 10.0 + step, "accuracy/arc": 0.5 - step / 100},
         "mean_accuracy": 0.5 - step / 100, "alarms": ["perplexity/english is 20"] * (step == 10)}
        for step in (0, 5, 10)
    ],
    "alarms": 1,
    "on_bound": "raise_replay",
    "replay_raised": [{"step": 10, "share": 0.15}],
}  # fmt: skip


def test_page_shows_what_the_base_could_and_can_still(project):
    write_report(project / "models/smoke/base", Report(figures={"forgetting": TABLE}))

    html = english(project)

    assert ["measure", "base", "step 5", "step 10", "difference"] in rows(html)
    assert ["perplexity/english", "10", "15", "20", "+10"] in rows(html)
    assert ["mean accuracy", "0.5", "0.45", "0.4", "-0.1"] in rows(html)
    assert "step 10: perplexity/english is 20" in html
    assert "to 0.15 after step 10" in html
    assert "pretrain@smoke: bounds of forgetting were crossed 1 times." in html


def test_page_says_why_nothing_was_measured_of_forgetting(project):
    assert "names nothing to measure" in english(project)
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    lock["stages"]["pretrain@smoke"]["deps"].append({"path": "inputs/none", "md5": "0"})
    (project / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    assert "training began from random weights" in english(project)


def test_page_of_many_measures_keeps_the_base_and_the_last():
    steps = [TABLE["steps"][0] | {"step": step} for step in range(0, 1010, 10)]
    head = forgetting_table(steps, EN).head
    assert (head[1], head[-2], len(head)) == ("base", "step 1000", 9)


def test_page_shows_speed_and_restarts_where_they_lie(project):
    pages = project / "models/smoke/base.pages"
    pages.mkdir()
    speeds = [
        {"step": step, "tokens_per_second": speed} for step, speed in ((1, 100.0), (2, 300.0), (3, 200.0))
    ]
    (pages / "throughput.jsonl").write_text("".join(json.dumps(row) + "\n" for row in speeds))
    lines = [
        {"time": "2026-01-05T10:00:00Z", "event": "begin", "ranks": 2, "processes": [11, 12]},
        {"time": "2026-01-05T10:09:00Z", "event": "end", "why": "rank 1 was killed by SIGKILL"},
        {"time": "2026-01-05T10:10:00Z", "event": "begin", "ranks": 1, "processes": [13]},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"time": "2026-01'  # cut by a kill
    (pages / "history.jsonl").write_text(text)
    write_run(project / "models/smoke/base", seconds=600.0)

    html = english(project)

    assert ["tokens per second", "200", "200"] in rows(html)
    assert "History (times started: 2)" in html
    assert ["2026-01-05T10:09:00Z", "end", "why rank 1 was killed by SIGKILL"] in rows(html)
    assert ["2026-01-05T10:10:00Z", "begin", "ranks 1"] in rows(html)


def test_page_shows_no_times_nor_restarts_of_another_outputs_run(project):
    pages = project / "models/smoke/base.pages"
    pages.mkdir()
    (pages / "throughput.jsonl").write_text('{"step": 1, "tokens_per_second": 321.0}\n')
    (pages / "history.jsonl").write_text('{"time": "2026-01-05T10:00:00Z", "event": "begin", "ranks": 2}\n')
    write_run(project / "models/smoke/base", seconds=7654.0)
    assert "7654.0" in english(project)

    write_report(project / "models/smoke/base", Report(figures={"loss": 1.5}))  # as a checkout leaves it

    html = english(project)
    assert "7654.0" not in html
    assert "321" not in html
    assert "History" not in html
    assert "No times" in html


def test_page_shows_what_quantization_saved(project):
    figures = {
        "method": "gptq",
        "group_size": 32,
        "bytes_before": 4000,
        "bytes_after": 1000,
        "bytes_embeddings_before": 500,
        "bytes_embeddings_after": 500,
        "bits_per_weight": 4.5,
        "kl_divergence": 0.01,
        "weight_error": {"model.layers.0": 0.1, "model.layers.1": 0.3},
    }
    write_report(project / "models/smoke/gptq", Report(figures=figures))

    table = rows(english(project))

    assert ["gptq", "gptq, 32", "4,000", "1,000", "4.00 times", "7.00 times", "500", "500", "4.5"] in table
    assert any(row[:6] == ["gptq", "–", "layers.1: 0.3", "0.01", "–", "–"] for row in table)
    assert "scaled weights that it rounds for AWQ" in english(project)


def test_page_adds_up_times_hours_and_money(project):
    write_run(
        project / "models/smoke/base",
        seconds=7200.0,
        cpu_seconds=3600.0,
        peak_memory_bytes=2_000_000_000,
        accelerators=4,
        hour_price="3 USD",
    )
    (project / "models/smoke/base.pages").mkdir()
    (project / "models/smoke/base.pages/history.jsonl").write_text('{"event": "begin", "ranks": 2}\n')
    write_run(
        project / "models/smoke/instruct",
        seconds=1800.0,
        cpu_seconds=900.0,
        accelerators=4,
        hour_price="2 USD",
    )

    html = english(project)

    assert ["pretrain@smoke", "7200.0", "", "1.0", "4.0", "2.00 GB", "6.00 USD"] in rows(html)
    assert ["sft@smoke-instruct", "1800.0", "", "0.2500", "0.5000", "–", "1.00 USD"] in rows(html)
    assert ["all stages", "9000.0", "", "1.2", "4.5", "2.00 GB", ""] in rows(html)
    assert "Cost of the machine: 7.00 USD" in html
    assert "Stages without times" in html


def test_page_takes_the_price_of_now_for_a_run_that_had_none(project, monkeypatch):
    write_run(project / "models/smoke/base", seconds=3600.0, cpu_seconds=1.0)
    assert "the price of an hour of the machine is not known" in english(project)
    monkeypatch.setenv(PRICE, "0.5 EUR")
    assert "Cost of the machine: 0.50 EUR" in english(project)


def test_page_shows_the_texts_that_each_model_wrote(project):
    line = {
        "prompt": "川は",
        "text": "長い。",
        "chat": False,
        "tokens": 3,
        "ended": True,
        "temperature": 0.7,
        "seed": 4,
    }
    path = project / "models/smoke/evaluation/base/samples.jsonl"
    path.write_text(json.dumps(line) + "\n")

    html = english(project)

    assert re.search(r"<b>川は</b>\s*<span>長い。</span>", html)
    assert "continuing the text, temperature 0.7, seed 4, 3 tokens, ended by itself" in html
    assert "No texts of gptq" in html


def test_page_shows_the_verdict_of_the_gate_and_warns_of_a_stopped_one(project):
    row = {"task": "jnli", "shots": 3, "metric": "acc", "items": 60, "before": 50.0, "after": 30.0, "difference": -20.0,
           "low": -30.5, "high": -9.5, "limit": 5.0, "verdict": "lost", "chance": 40.0}  # fmt: skip
    verdict = {
        "verdict": "stopped",
        "before": "instruct",
        "after": "gptq",
        "kind": "quantized",
        "limits": {"mean_drop_points": 2.0, "task_drop_points": 5.0},
        "mean": None,
        "tasks": [row],
        "bits_per_byte": {"wikipedia": {"before": 1.25, "after": 1.5}},
    }
    for variant in ("gptq", "awq"):
        shutil.rmtree(project / f"models/smoke/gates/{variant}")
    folder = project / "models/smoke/gates/gptq.pages"  # a stopped stage publishes no output
    folder.mkdir()
    (folder / "gate.json").write_text(json.dumps(verdict))

    html = english(project)

    assert ["jnli", "3", "60", "40.0", "50.0", "30.0", "-20.0", "-30.5 – -9.5", "-5", "lost"] in rows(html)
    assert "verdict is <code>stopped</code>." in html
    assert "awq has no verdict" in html
    assert "two baselines, not two measures of one" in html  # 33.3 under Scores


def test_page_shows_what_a_judge_said_and_what_it_cost(project):
    part = {"n": 20, "judged": 19, "unreadable": 1, "mean": 3.5, "interval": {"low": 3.0, "high": 4.0}}
    scores = {
        "judge": {"model": "a-judge", "samples": 1},
        "sets": {"elyza_tasks_100": {"scale": [1, 5], **part}},
        "usage": {
            "replies": 20,
            "prompt_tokens": 1000,
            "completion_tokens": 50,
            "cost": 0.25,
            "currency": "USD",
        },
    }
    folder = project / "models/smoke/judgements/instruct"
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps(scores))

    html = english(project)

    assert ["elyza_tasks_100 (1–5)", "3.50", "3.00 – 4.00", "20", "1"] in rows(html)
    assert "Judging instruct: tokens sent 1,000, tokens received 50, 0.25 USD." in html


def test_page_shows_how_a_judge_was_asked_and_warns_of_verdicts_to_doubt(project, judged):
    elyza = judged["sets"]["elyza_tasks_100"]
    prompts, data = ([one["version"], one["sha256"][:12]] for one in (elyza["prompts"], elyza["data"]))

    html = english(project)

    row = next(row for row in rows(html) if row[0] == "elyza_tasks_100" and len(row) == 6)
    assert row[1].split()[-2:] == prompts
    assert row[2] == data[0] == f"sha256-{data[1]}"  # told once
    assert row[3:] == ["0", "1", "1"]  # cut, empty, holding a verdict
    assert ["judge", "judge-1"] in [list(pair) for pair in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html)]
    assert "instruct: the verdicts on 1 of 3 answers of elyza_tasks_100 could not be read" in html
    assert "instruct: 1 answers of elyza_tasks_100 hold what a judge" in html


def test_page_shows_how_the_answers_were_asked(project, judged):
    judged["sets"]["elyza_tasks_100"]["answers"] = {
        "turns": 1, "max_new_tokens": 1200, "system": None, "top_p": 0.9, "temperatures": {"": 0.0}
    }  # fmt: skip
    path = project / "models/smoke/judgements/instruct/scores.json"
    path.write_text(json.dumps(judged))

    assert (
        "<dt>how elyza_tasks_100 was answered</dt><dd>turns 1, new tokens at most 1200, system message none, "
        "top_p 0.9, temperatures 0.0</dd>"
    ) in english(project)


def test_page_shows_published_means_of_a_question_set_beside_those_of_the_judge(project, judged):
    table = rows(english(project))

    assert ["instruct (this page)", f"{judged['sets']['elyza_tasks_100']['mean']:.2f}", "–"] in table
    assert any(row[:2] == ["elyza/ELYZA-japanese-Llama-2-13b-instruct", "2.80"] for row in table)


@pytest.mark.parametrize(
    ("file", "content", "other"),
    [
        ("judgements/instruct/scores.json", {"sets": {"elyza_tasks_100": 4.5}}, "jcommonsenseqa"),
        ("gates/gptq/gate.json", {"verdict": "passed", "tasks": {}}, "against instruct"),
        ("evaluation/base/results.json", {"tasks": {"jnli": 0.5}}, "Verdict: passed."),
    ],
    ids=["judge", "gate", "results"],
)
def test_record_of_another_form_takes_no_other_part_from_the_page(project, file, content, other):
    path = project / "models/smoke" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))

    html = english(project)

    assert "a record of a form that this kajiya does not know" in html
    assert other in html
    assert len(headings(html)) == len(headings(language(page_of(project), "ja"))) > 15


def test_page_before_anything_ran_says_so_in_every_part(project):
    (project / "dvc.lock").unlink()

    html = page_of(project)

    for key in ("corpus", "tokenizer", "training", "scores", "quantization", "costs", "any", "versions"):
        for one in ("ja", "en"):
            told = Words(one)(f"absent_{key}").replace("`", "")
            assert told in re.sub(r"</?code>", "", language(html, one))


def test_page_of_a_training_that_has_not_ended_keeps_the_rest(project):
    shutil.rmtree(project / "models" / "smoke")

    html = english(project)

    assert EN("absent_training").split(":")[0] in html
    assert ["decontaminate", "all sources", "6", "4", "", "2"] in rows(html)


def test_both_languages_hold_the_same_headings_and_the_same_numbers(project):
    html = page_of(project)
    ja, en = language(html, "ja"), language(html, "en")

    assert [key.removeprefix("ja-") for key, _ in headings(ja)] == [
        key.removeprefix("en-") for key, _ in headings(en)
    ]
    assert all(re.search(r"[ぁ-んァ-ヶ一-龠]", title) for _, title in headings(ja))
    assert not any(re.search(r"[ぁ-んァ-ヶ一-龠]", title) for _, title in headings(en))
    assert re.findall(r'points="([^"]*)"', ja) == re.findall(r'points="([^"]*)"', en)
    assert [len(row) for row in rows(ja)] == [len(row) for row in rows(en)]


NAMES = re.compile(
    r"[a-z]+@[a-z0-9-]+|base|instruct|gptq|awq|MFU|Python|requirements\.lock|top_p|elyza_tasks_100|–|[\d.,\s]*"
)
"""What has the same name in every language: stages, variants, sets, tools."""


def labels(html):
    """Headings, table heads and names of facts, as a reader sees them."""
    found = re.findall(r"<(h2|h3|th|dt)\b[^>]*>(.*?)</\1>", html, re.DOTALL)
    found += [("text", one) for one in re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)]
    return [re.sub(r"<[^>]*>", "", text).strip() for _, text in found]


def test_japanese_page_has_no_label_in_english_alone(project, judged):
    write_report(
        project / "models/smoke/base",
        Report(
            figures={"forgetting": TABLE, "parameters": {"all": 5, "trained": 4}, "epochs": 2, "steps": 9}
        ),
    )
    pages = project / "models/smoke/base.pages"
    pages.mkdir()
    (pages / "throughput.jsonl").write_text('{"step": 1, "tokens_per_second": 1.0, "peak_memory_gb": 2}\n')
    (pages / "history.jsonl").write_text('{"time": "2026-01-05T10:00:00Z", "event": "begin", "ranks": 2}\n')
    write_run(project / "models/smoke/base", seconds=5.0)

    html = language(page_of(project), "ja")

    found = labels(html)
    assert len(found) > 80
    japanese = re.compile(r"[ぁ-んァ-ヶ一-龠]")
    assert [one for one in found if not japanese.search(one) and not NAMES.fullmatch(one)] == []
    assert "全パラメータ数 5、学習したパラメータ数 4、ステップ数 9、エポック数 2" in html
    assert "<td>起動</td><td>ランク数 2</td>" in html


def test_sentences_of_stages_are_marked_with_their_language_and_escaped(project):
    alarm = "perplexity/english is <20>"
    steps = [{**one, "alarms": [alarm] if one["alarms"] else []} for one in TABLE["steps"]]
    write_report(project / "models/smoke/base", Report(figures={"forgetting": TABLE | {"steps": steps}}))
    change_results(project, "base", skipped={"xlsum_ja": "no `data` here"})

    html = page_of(project)

    marked = '<span class="free" lang="en">perplexity/english is &lt;20&gt;</span>'
    assert f"ステップ 10: {marked}" in language(html, "ja")
    assert marked not in language(html, "en")
    assert (
        'xlsum_ja は評価していません（<span class="free" lang="en">no <code>data</code> here</span>）。'
        in html
    )
    assert "&lt;span" not in html


def test_words_stand_in_both_languages_with_the_same_blanks():
    for key, both in yaml.safe_load(FILE.read_text(encoding="utf-8")).items():
        blanks = [sorted(re.findall(r"{(\w+)}", both[one])) for one in ("ja", "en")]
        assert blanks[0] == blanks[1], key


def test_languages_are_chosen_without_a_script_and_the_page_is_whole(project):
    html = page_of(project)
    parser = HTMLParser()
    parser.feed(html)

    assert "<script" not in html
    assert html.index('lang="ja"') < html.index('lang="en"')
    assert re.search(r'id="show-ja" checked', html)
    assert "#show-ja:checked ~ main.in-en" in html
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in re.findall(r'href="(#[^"]+)"', html)} <= set(ids)
    assert html.count('role="img"') == html.count("<svg")


def test_page_loads_nothing_from_outside(project):
    assert outside(page_of(project)) == []


def test_page_escapes_what_models_and_people_wrote(project):
    (project / "recipes" / "smoke.yaml").write_text('description: <script>alert("x")</script> 鍛冶\n')
    line = {"prompt": "<b>川</b>", "text": "</span><script>alert(1)</script>`<i>`", "chat": True}
    (project / "models/smoke/evaluation/base/samples.jsonl").write_text(json.dumps(line) + "\n")
    write_report(
        project / "models/smoke/gptq", Report(figures={"bytes_before": 2, "bytes_after": 1, "method": "<i>"})
    )

    html = page_of(project)

    assert "<script" not in html
    assert "<i>" not in html
    assert "&lt;/span&gt;&lt;script&gt;alert(1)" in html


def test_page_of_a_registry_that_is_down_says_so_and_shows_the_rest(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    html = english(project)

    assert "The registry could not be read" in html
    assert "jcommonsenseqa" in html


def test_broken_record_is_named(project):
    (project / "models/smoke/evaluation/base/results.json").write_text("{")
    with pytest.raises(KajiyaError, match=r"results\.json:1: not valid JSON"):
        page_of(project)


def test_thinned_curves_keep_every_measure_and_its_last_value():
    rows = [{"step": step, "loss": 1.0 / step} for step in range(1, 5001)]
    rows[2500]["validation_loss"] = 0.5

    kept = thinned(rows)

    assert sum("loss" in row for row in kept) <= 400
    assert kept[-1] == {"step": 5000, "loss": 1 / 5000}
    assert [row["step"] for row in kept if "validation_loss" in row] == [2501]
    assert thinned(kept) == kept


def test_dots_stand_in_the_order_of_their_values():
    chart = dot_chart(
        [DotRow("t", {"a": Dot(10.0), "b": Dot(90.0, 80.0, 95.0)})], {"axis": "x", "about": "y"}, (0, 100)
    )
    circle, square = (float(re.search(rf'<{tag} [^>]*?{at}="([\d.]+)"', chart.split("</title>", 1)[1])[1])
                      for tag, at in (("circle", "cx"), ("rect", "x")))  # fmt: skip
    assert circle < square
    assert "80.0 – 95.0" in chart
    assert dot_chart([], {"axis": "x", "about": "y"}) == ""


def test_page_names_the_variants_of_the_recipe_that_are_not_here(project):
    whole = language(page_of(project), "en")
    assert "Not here:" not in whole
    shutil.move(project / "models", project / "away")

    html = english(project)

    told = "Not here: {}. Its stage has not run yet, or its output is missing"
    assert html.count(told.format("base, instruct, gptq, awq")) == 1  # the warning
    assert html.count(told.format("instruct, gptq, awq")) == 2  # the differences, the gate
    assert EN("absent_parent") not in html
    assert EN("no_warnings") not in html


def test_page_warns_of_a_variant_without_scores(project):
    shutil.rmtree(project / "models/smoke/evaluation/gptq")

    assert EN("warn_not_evaluated", variants="gptq") in english(project)


def test_copies_of_registered_versions_do_not_count_as_code(project):
    shutil.copy(Path(__file__).parents[1] / ".gitignore", project)
    commit(project)
    copy = project / ".cache/registry/kajiya-smoke-1-run/results.json"
    copy.parent.mkdir(parents=True)
    copy.write_text("{}")

    assert code_state(project).dirty is False


def test_page_marks_scores_on_other_items_than_the_published(project):
    tasks = {"jcommonsenseqa": {"3": {"acc": 0.8, "n": 9}}}
    change_results(project, "base", tasks=tasks, data_versions={"jcommonsenseqa": {"version": "v0.1"}})

    html = english(project)

    assert any(row[0] == "base (this page) (other items: v0.1, 9)" for row in rows(html))
    assert "base: " + EN("warn_other_items", items="v0.1, 9") in html


def test_page_has_no_negative_zero_where_nothing_may_be_lost(project):
    path = project / "models/smoke/gates/gptq/gate.json"
    verdict = json.loads(path.read_text())
    verdict["tasks"][0]["limit"] = 0.0
    path.write_text(json.dumps(verdict))

    (row,) = (row for row in rows(english(project)) if row[0] == "jcommonsenseqa" and row[-2:-1] == ["0"])
    assert row[-1] == "held"


def test_page_tells_on_how_many_tokens_a_perplexity_rests(project):
    perplexity = {"diet": {"perplexity": 22.9, "tokens": 33}, "c4": {"perplexity": 2.7, "tokens": 8185}}
    change_results(project, "base", perplexity=perplexity)

    sources = {row[0] for row in rows(english(project))}

    assert {"diet (only 33 tokens)", "c4 (8,185 tokens)"} <= sources
