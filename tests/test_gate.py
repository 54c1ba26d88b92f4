"""The gate's rule: which drops stop a variant, which are shown only, and what a person is told."""

import json
import re
from collections.abc import Mapping
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from evaluation_folders import hits, write_evaluation
from pydantic import ValidationError

from components.gate import GateSettings, kind_of, run
from components.gate.ability import chance_of, has_ability
from components.gate.decide import Change, hold_against
from components.gate.words import items_needed
from kajiya.errors import KajiyaError
from kajiya.evaluation_results import Evaluation, load_evaluation
from kajiya.gate_verdict import GateVerdict, Limits, read_verdict
from kajiya.intervals import wilson
from kajiya.settings import load_settings
from kajiya.stage import execute

ITEMS = 400
CHOICES = {"jcommonsenseqa": 5, "mmlu": 4, "jsquad": 0}


def evaluation(
    folder: Path, right: Mapping[tuple[str, int], int], items: int = ITEMS, **changes: Any
) -> Path:
    """An evaluation with so many of its items right, per task and shots."""
    metric = {task: "exact_match" if task == "jsquad" else "acc" for task, _ in right}
    write_evaluation(
        folder, {key: {metric[key[0]]: hits(count, items)} for key, count in right.items()}, **changes
    )
    results = json.loads((folder / "results.json").read_text())
    for (task, shots), count in right.items():
        bounds = wilson(count, items)
        results["tasks"][task][str(shots)]["intervals"] = {
            metric[task]: {"low": bounds.low, "high": bounds.high}
        }
    (folder / "results.json").write_text(json.dumps(results))
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    for line in lines:
        if CHOICES[line["task"]]:
            line["likelihoods"] = [-1.0] * CHOICES[line["task"]]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def model(folder: Path, quantized: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"quantization_config": {"quant_method": "compressed-tensors"}} if quantized else {}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **content}))
    return folder


def gate(
    root: Path,
    before: Mapping[tuple[str, int], int],
    after: Mapping[tuple[str, int], int],
    settings: GateSettings | None = None,
    *,
    quantized: bool = True,
    items: int = ITEMS,
    changes: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
) -> GateVerdict:
    """Run the stage; the verdict as published. Raises KajiyaError where it stops."""
    paths = [
        model(root / "gptq", quantized),
        evaluation(root / "evaluation" / "instruct", before, items, **changes[0]),
        evaluation(root / "evaluation" / "gptq", after, items, **changes[1]),
    ]
    execute(run, settings or GateSettings(), paths, root / "gates" / "gptq")
    return read_verdict(root / "gates" / "gptq")


JCQA = ("jcommonsenseqa", 3)
MMLU = ("mmlu", 0)


def test_small_loss_passes_and_is_published_with_interval_and_p_value(tmp_path: Path) -> None:
    verdict = gate(tmp_path, {JCQA: 360, MMLU: 200}, {JCQA: 356, MMLU: 198})

    assert verdict.verdict == "passed"
    assert verdict.kind == "quantized"
    assert verdict.limits.model_dump() == {"mean_drop_points": 2, "task_drop_points": 5}
    assert verdict.mean.difference == pytest.approx(-0.75)
    assert verdict.largest_drop == pytest.approx(1.0)
    first = verdict.tasks[0]
    assert (first.task, first.shots, first.items, first.test) == ("jcommonsenseqa", 3, 400, "mcnemar")
    assert first.low < first.difference < first.high
    assert first.p_value == pytest.approx(0.125)  # four items lost, none won: 2 / 2**4
    report = json.loads((tmp_path / "gates" / "gptq.report.json").read_text())["figures"]
    assert report["verdict"] == "passed"
    assert report["largest_drop"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({JCQA: 350, MMLU: 190}, "mean of 2 tasks"),  # 2.5 each: no task beyond 5, the mean beyond 2
        ({JCQA: 330, MMLU: 215}, r"jcommonsenseqa +3"),  # 7.5 lost in one, won elsewhere
    ],
)
def test_loss_beyond_a_limit_stops_with_the_table_and_publishes_nothing(
    after: dict[tuple[str, int], int], words: str, tmp_path: Path
) -> None:
    with pytest.raises(KajiyaError) as raised:
        gate(tmp_path, {JCQA: 360, MMLU: 200}, after)

    said = str(raised.value)
    assert re.search(words, said)
    assert "lost too much" in said
    assert "group_size" in said
    assert "gate.variants.gptq" in said
    assert str(tmp_path / "gates" / "gptq.pages" / "gate.html") in said
    assert "take gptq out of the recipe" in said
    assert not (tmp_path / "gates" / "gptq").exists()
    page = (tmp_path / "gates" / "gptq.pages" / "gate.html").read_text()
    assert "下がりすぎ" in page
    assert "lost too much" in page
    assert "://" not in page


def test_drop_of_just_the_limit_passes(tmp_path: Path) -> None:
    assert gate(tmp_path, {JCQA: 360}, {JCQA: 352}).mean.difference == pytest.approx(-2.0)


def test_perplexity_that_got_better_saves_nothing(tmp_path: Path) -> None:
    better = (
        {"perplexity": {"wikipedia": {"bits_per_byte": 1.1}}},
        {"perplexity": {"wikipedia": {"bits_per_byte": 0.9}}},
    )

    with pytest.raises(KajiyaError, match="lost more"):
        gate(tmp_path, {JCQA: 360}, {JCQA: 120}, changes=better)

    shown = GateVerdict.model_validate_json((tmp_path / "gates" / "gptq.pages" / "gate.json").read_bytes())
    assert shown.bits_per_byte["wikipedia"].after == 0.9


def test_perplexity_that_got_worse_condemns_nothing(tmp_path: Path) -> None:
    worse = (
        {"perplexity": {"wikipedia": {"bits_per_byte": 0.9}}},
        {"perplexity": {"wikipedia": {"bits_per_byte": 2.7}}},
    )

    assert gate(tmp_path, {JCQA: 360}, {JCQA: 360}, changes=worse).verdict == "passed"


def test_task_at_chance_before_is_shown_and_not_judged(tmp_path: Path) -> None:
    verdict = gate(tmp_path, {JCQA: 360, MMLU: 104}, {JCQA: 358, MMLU: 60})  # 26 % of four choices

    assert {row.task: row.verdict for row in verdict.tasks} == {
        "jcommonsenseqa": "held",
        "mmlu": "not judged",
    }
    assert verdict.tasks[1].chance == 25
    assert verdict.mean.tasks == ("jcommonsenseqa",)
    assert verdict.largest_drop == pytest.approx(0.5)


def test_nothing_above_chance_stops_unless_the_recipe_lets_it_pass(tmp_path: Path) -> None:
    at_chance = {JCQA: 80, ("jsquad", 2): 0}

    with pytest.raises(KajiyaError, match=r"nothing to judge(.|\n)*unjudged: pass"):
        gate(tmp_path / "stop", at_chance, at_chance)

    for settings in ({"unjudged": "pass"}, {"variants": {"gptq": {"unjudged": "pass"}}}):
        verdict = gate(tmp_path / "pass", at_chance, at_chance, GateSettings.model_validate(settings))
        assert (verdict.verdict, verdict.mean, verdict.largest_drop) == ("unjudged", None, None)


def test_no_task_at_all_is_nothing_to_judge(tmp_path: Path) -> None:
    with pytest.raises(KajiyaError, match="nothing to judge"):
        gate(tmp_path, {}, {})
    assert gate(tmp_path, {}, {}, GateSettings(unjudged="pass")).verdict == "unjudged"


def test_every_number_of_shots_is_judged_and_the_mean_takes_the_published_one(tmp_path: Path) -> None:
    zero = ("jcommonsenseqa", 0)

    assert gate(tmp_path, {zero: 360, JCQA: 360}, {zero: 345, JCQA: 358}).mean.difference == pytest.approx(
        -0.5
    )
    with pytest.raises(KajiyaError, match=r"jcommonsenseqa +0"):
        gate(tmp_path, {zero: 360, JCQA: 360}, {zero: 200, JCQA: 360})


def test_task_that_is_able_at_another_number_of_shots_counts_with_that_one(tmp_path: Path) -> None:
    zero = ("jcommonsenseqa", 0)

    verdict = gate(tmp_path, {zero: 360, JCQA: 80}, {zero: 356, JCQA: 40})

    assert verdict.mean.difference == pytest.approx(-1.0)


def test_tuned_variant_may_lose_more_than_a_quantized_one(tmp_path: Path) -> None:
    loss = ({JCQA: 360, MMLU: 200}, {JCQA: 352, MMLU: 180})

    assert gate(tmp_path / "tuned", *loss, quantized=False).kind == "tuned"
    with pytest.raises(KajiyaError, match="lost more"):
        gate(tmp_path / "quantized", *loss)
    with pytest.raises(KajiyaError, match="learning_rate"):
        gate(tmp_path / "collapsed", loss[0], {JCQA: 200, MMLU: 200}, quantized=False)


def test_limit_of_a_variant_goes_before_that_of_its_kind(tmp_path: Path) -> None:
    settings = GateSettings.model_validate(
        {"variants": {"gptq": {"task_drop_points": 9}}, "quantized": {"mean_drop_points": 8}}
    )

    verdict = gate(tmp_path, {JCQA: 360}, {JCQA: 330}, settings)

    assert verdict.limits.model_dump() == {"mean_drop_points": 8, "task_drop_points": 9}


def test_few_items_pass_but_the_page_says_that_they_settle_nothing(tmp_path: Path) -> None:
    verdict = gate(tmp_path, {JCQA: 36}, {JCQA: 36}, items=40)

    (row,) = verdict.tasks
    assert (row.verdict, row.settled) == ("held", False)  # two items of 40 would be the limit
    assert (verdict.mean.verdict, verdict.mean.settled) == ("held", False)
    assert verdict.mean.times_the_items > row.times_the_items > 1
    page = (tmp_path / "gates" / "gptq.pages" / "gate.html").read_text()
    assert "cannot settle it" in page
    assert "この問題数では確定できません" in page


@pytest.mark.parametrize(
    ("change", "verdict", "settled", "times"),
    [
        ((-1.0, -3.0, 1.0), "held", False, 4.0),  # half 2, one point from the limit: (2/1)^2
        ((-1.0, -1.9, -0.1), "held", True, None),
        ((-3.0, -5.0, -1.0), "lost", False, 4.0),
        ((-9.0, -11.0, -7.0), "lost", True, None),
        ((-2.0, -3.0, -1.0), "held", False, None),  # at the limit itself no number of items settles it
        ((1.0, 0.5, 1.5), "held", True, None),
        ((-1.0, -2.01, 0.0), "held", False, 1.1),  # never "once the items"
    ],
)
def test_interval_across_the_limit_tells_how_many_items_would_settle_it(
    change: tuple[float, float, float], verdict: str, settled: bool, times: float | None
) -> None:
    held = hold_against(Change(50.0, 50.0 + change[0], *change), 2.0)

    assert (held["verdict"], held["settled"], held["times_the_items"]) == (verdict, settled, times)


def test_difference_that_is_no_number_has_not_held() -> None:
    assert hold_against(Change(50.0, nan, nan, -1.0, 1.0), 2.0)["verdict"] == "lost"


def test_verdict_with_what_is_no_number_cannot_be_written() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Limits(mean_drop_points=nan, task_drop_points=5)


def test_score_that_is_no_number_stops_before_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_gone(folder: Path, name: str) -> Evaluation:
        loaded = load_evaluation(folder, name)
        if name == "gptq":
            loaded.answers[JCQA].scores["acc"][0] = nan
        return loaded

    monkeypatch.setattr("components.gate.load_evaluation", one_gone)
    with pytest.raises(KajiyaError, match=r"jcommonsenseqa with 3 shots: not every score is a number"):
        gate(tmp_path, {JCQA: 360}, {JCQA: 360})
    assert not (tmp_path / "gates" / "gptq.pages" / "gate.json").exists()


def test_perplexity_that_is_no_number_is_an_error_with_its_source(tmp_path: Path) -> None:
    broken = ({}, {"perplexity": {"wikipedia": {"bits_per_byte": None}}})
    with pytest.raises(KajiyaError, match="perplexity of wikipedia: `bits_per_byte` is no number"):
        gate(tmp_path, {JCQA: 360}, {JCQA: 360}, changes=broken)


@pytest.mark.parametrize(
    ("items", "times", "needed"), [(3, 1.2, 4), (40, 1.0, 41), (300, 3.8, 1200), (300, 25.3, 7600)]
)
def test_items_needed_are_rounded_up_and_never_fewer_than_there_are(
    items: int, times: float, needed: int
) -> None:
    assert items_needed(items, times) == needed


def test_mean_over_tasks_without_a_change_is_as_unsettled_as_its_tasks(tmp_path: Path) -> None:
    same = {JCQA: 9, MMLU: 9}
    verdict = gate(tmp_path, same, same, items=10)
    assert verdict.mean.low < -10 < 10 < verdict.mean.high
    assert [row.settled for row in (verdict.mean, *verdict.tasks)] == [False] * 3


def choice_lines(right: list[str], choices: int) -> list[dict]:
    return [{"right": one, "likelihoods": [0.0] * choices} for one in right]


def test_chance_of_labels_that_all_items_share_is_that_of_always_the_most_frequent() -> None:
    lines = choice_lines(["肯定"] * 85 + ["否定"] * 15, 2)

    assert chance_of({"main": "acc", "balanced_acc": 0.5}, lines) == 0.85
    assert chance_of({"main": "acc"}, choice_lines(["a", "b"], 5)) == 0.2
    assert chance_of({"main": "exact_match"}, [{"right": ["a"]}]) == 0.01


@pytest.mark.parametrize(("balanced", "able"), [(0.45, False), (0.62, True)])
def test_always_one_label_is_no_ability_but_telling_the_rare_one_is(balanced: float, able: bool) -> None:
    lines = choice_lines(["肯定"] * 85 + ["否定"] * 15, 2)
    intervals = {"acc": {"low": 0.8, "high": 0.9}, "balanced_acc": {"low": balanced, "high": 0.9}}
    metrics = {"main": "acc", "acc": 0.85, "balanced_acc": 0.5, "intervals": intervals}

    assert has_ability(metrics, chance_of(metrics, lines), lines) is able


def test_variant_asked_through_its_chat_template_is_held_against_a_base_that_has_none(tmp_path: Path) -> None:
    chat = ({"chat_template": False}, {"chat_template": True})

    verdict = gate(tmp_path, {JCQA: 360}, {JCQA: 359}, quantized=False, changes=chat)

    assert verdict.chat_template == (False, True)
    assert "chat template" in (tmp_path / "gates" / "gptq.pages" / "gate.html").read_text()


def test_quantized_variant_asked_otherwise_than_its_parent_is_refused_with_both_names(tmp_path: Path) -> None:
    chat = ({"chat_template": True}, {"chat_template": False})
    with pytest.raises(
        KajiyaError, match=r"instruct was asked through its chat template and gptq was not.*chat_variants"
    ):
        gate(tmp_path, {JCQA: 360}, {JCQA: 359}, changes=chat)
    with pytest.raises(KajiyaError, match=r"gptq was asked through its chat template and instruct was not"):
        gate(tmp_path, {JCQA: 360}, {JCQA: 359}, changes=chat[::-1])


@pytest.mark.parametrize("spoil", ["list", "no-text", "folder"])
def test_config_that_cannot_be_read_is_an_error_naming_it(spoil: str, tmp_path: Path) -> None:
    path = model(tmp_path / "gptq") / "config.json"
    if spoil == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(b"[]" if spoil == "list" else b"\xff\xfe{")
    with pytest.raises(KajiyaError, match=r"config\.json: no config of a model"):
        kind_of(tmp_path / "gptq")


def test_what_was_not_asked_of_both_is_no_pass(tmp_path: Path) -> None:
    with pytest.raises(KajiyaError, match=r"not asked the same: mmlu"):
        gate(tmp_path, {JCQA: 360, MMLU: 300}, {JCQA: 360})
    with pytest.raises(KajiyaError, match=r"evaluate\.choices"):
        gate(tmp_path, {JCQA: 360}, {JCQA: 360}, changes=({}, {"choices": "cloze"}))


def test_gate_run_again_gives_the_same_bytes(tmp_path: Path) -> None:
    scores = ({JCQA: 360, MMLU: 200}, {JCQA: 356, MMLU: 199})

    gate(tmp_path / "a", *scores)
    gate(tmp_path / "b", *scores)

    for name in ("gptq/gate.json", "gptq.report.json", "gptq.pages/gate.html"):
        assert (tmp_path / "a/gates" / name).read_bytes() == (tmp_path / "b/gates" / name).read_bytes()


def test_evaluation_without_intervals_says_to_evaluate_again(tmp_path: Path) -> None:
    before = evaluation(tmp_path / "evaluation" / "instruct", {JCQA: 360})
    results = json.loads((before / "results.json").read_text())
    del results["tasks"]["jcommonsenseqa"]["3"]["intervals"]
    (before / "results.json").write_text(json.dumps(results))
    after = evaluation(tmp_path / "evaluation" / "gptq", {JCQA: 360})

    with pytest.raises(KajiyaError, match="no `intervals`"):
        run(
            GateSettings(),
            model(tmp_path / "gptq"),
            before,
            after,
            out=tmp_path / "out",
            pages=tmp_path / "pages",
        )


def test_limits_are_points_and_never_below_zero(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        GateSettings.model_validate({"quantized": {"mean_drop_points": -1}})
    for spoilt in ({"tuned": {"task_drop_points": inf}}, {"variants": {"a": {"mean_drop_points": inf}}}):
        with pytest.raises(ValidationError, match="finite"):
            GateSettings.model_validate(spoilt)
    (tmp_path / "r.yaml").write_text("gate: {quantised: {mean_drop_points: 3}}\n")
    with pytest.raises(
        KajiyaError, match=r"r\.yaml:1: gate\.quantised: unknown setting\. Did you mean `quantized`"
    ):
        load_settings(GateSettings, tmp_path / "r.yaml", ["gate"])
