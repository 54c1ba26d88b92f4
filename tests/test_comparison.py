"""Two evaluations are paired by item, or refused with what differs."""

import json
from math import sqrt

import numpy as np
import pytest

from kajiya.comparison import Comparison, compare, pair
from kajiya.errors import KajiyaError
from kajiya.evaluation_results import load_evaluation
from tests.evaluation_folders import hits, write_evaluation

JNLI, JSQUAD = ("jnli", 3), ("jsquad", 2)


@pytest.fixture
def folders(tmp_path):
    def write(before, after, **changes):
        return (
            write_evaluation(tmp_path / "before", before),
            write_evaluation(tmp_path / "after", after, **changes),
        )

    return write


def test_equal_models_differ_by_nothing_and_not_really(folders):
    scores = {JNLI: {"acc": hits(60, 100)}, JSQUAD: {"exact_match": hits(30, 80), "f1": [0.5] * 80}}
    comparison = compare(*folders(scores, scores), seed=1)
    assert {one.difference for one in comparison.differences} == {0.0}
    assert {one.p for one in comparison.differences} == {1.0}
    assert not any(one.real for one in comparison.differences)
    together = comparison.suite("all")
    assert (together.difference, together.p, together.real) == (0.0, 1.0, False)


def test_difference_that_only_pairing_can_see_is_found(folders):
    """600 against 614 of 1,000 is within chance for two samples, but not when all the changes are gains."""
    before, after = hits(600, 1000), hits(614, 1000)
    one = compare(*folders({JNLI: {"acc": before}}, {JNLI: {"acc": after}}), seed=1).of("jnli", 3)
    assert (one.before, one.after, one.difference) == pytest.approx((60.0, 61.4, 1.4))
    unpaired_half = 1.96 * 100 * sqrt(0.6 * 0.4 / 1000 + 0.614 * 0.386 / 1000)
    assert one.difference < unpaired_half
    assert one.real
    assert 0 < one.interval.low < 1.4 < one.interval.high
    assert (one.test, one.p) == ("mcnemar", pytest.approx(2 / 2**14))


def test_same_scores_from_unlike_items_are_no_difference(folders):
    """As many right, but others: the difference is 0 and its interval is wide."""
    one = compare(*folders({JNLI: {"acc": hits(50, 100)}}, {JNLI: {"acc": hits(50, 100)[::-1]}}), seed=1).of(
        "jnli", 3
    )
    assert one.difference == 0
    assert one.interval.high > 15
    assert not one.real


def test_items_are_paired_by_id_whatever_their_order(folders):
    before, after = {JNLI: {"acc": hits(60, 100)}}, {JNLI: {"acc": hits(70, 100)}}
    in_order = compare(*folders(before, after), seed=1)
    shuffled = compare(*folders(before, after, shuffle=3), seed=1)
    assert shuffled == in_order
    assert in_order.of("jnli", 3).p == pytest.approx(2 / 2**10)


def test_values_between_0_and_1_are_compared_by_bootstrap(folders):
    generator = np.random.default_rng(4)
    before = generator.beta(2, 2, 200)
    after = np.clip(before - 0.05 + generator.normal(0, 0.05, 200), 0, 1)
    one = compare(*folders({JSQUAD: {"f1": before}}, {JSQUAD: {"f1": after}}), seed=1).of("jsquad", 2)
    assert one.test == "bootstrap"
    assert one.real
    half = 196 * np.std(after - before) / sqrt(200)
    assert one.interval.low == pytest.approx(one.difference - half, abs=half / 5)
    assert one.interval.high == pytest.approx(one.difference + half, abs=half / 5)


def test_three_items_of_three_prove_nothing(folders):
    one = compare(*folders({JSQUAD: {"f1": [0.1, 0.2, 0.3]}}, {JSQUAD: {"f1": [0.5, 0.7, 0.8]}}), seed=1).of(
        "jsquad", 2
    )
    assert one.interval.low > 0
    assert one.p > 0.2
    assert not one.real


def test_balanced_accuracy_is_paired_within_the_right_labels(tmp_path):
    right = ["entailment"] * 180 + ["neutral"] * 20
    before = hits(180, 200)
    after = [*hits(170, 180), *hits(12, 20)]
    write_evaluation(tmp_path / "a", {JNLI: {"acc": before}}, right=right)
    write_evaluation(tmp_path / "b", {JNLI: {"acc": after}}, right=right)
    comparison = compare(tmp_path / "a", tmp_path / "b", seed=1)
    plain, balanced = comparison.of("jnli", 3), comparison.of("jnli", 3, "balanced_acc")
    assert (plain.difference, plain.real) == (pytest.approx(1.0), False)
    assert balanced.difference == pytest.approx(100 * ((170 / 180 + 12 / 20) / 2 - 0.5))
    assert balanced.real
    assert not balanced.main


def test_balanced_accuracy_of_two_models_that_say_one_word_has_a_difference_with_a_width(tmp_path):
    right = ["entailment"] * 15 + ["neutral"] * 30
    folders = [write_evaluation(tmp_path / name, {JNLI: {"acc": hits(15, 45)}}, right=right) for name in "ab"]
    one = compare(*folders, seed=1).of("jnli", 3, "balanced_acc")
    assert (one.difference, one.test) == (0.0, "sign_flips")
    assert one.interval.low < -3 < 3 < one.interval.high


def test_cut_prompts_are_a_warning_for_each_model(folders):
    before, after = folders(SAME, SAME)
    for folder in (before, after):
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        results["tasks"]["jnli"]["3"]["truncated"] = 4
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    warnings = compare(before, after, seed=1).warnings
    assert len(warnings) == 2
    assert all("4 of jnli@3" in line for line in warnings)


def test_many_tasks_raise_the_bar_for_each(folders):
    """A p-value of 0.04 is no news among four tasks."""
    before = {(name, 0): {"acc": hits(50, 100)} for name in ("one", "two", "three")} | {
        JNLI: {"acc": hits(50, 100)}
    }
    worse = hits(50, 100)
    worse[:7], worse[60] = [0.0] * 7, 1.0  # 7 lost, 1 won: 0.0703; 8 and 1: 0.0391
    worse[7] = 0.0
    one = compare(*folders(before, before | {JNLI: {"acc": worse}}), seed=1).of("jnli", 3)
    assert one.p == pytest.approx(20 / 512)
    assert one.p_corrected == pytest.approx(80 / 512)
    assert not one.real


def test_suite_counts_every_task_alike(folders):
    before = {JNLI: {"acc": hits(500, 1000)}, JSQUAD: {"exact_match": hits(5, 10)}}
    after = {JNLI: {"acc": hits(500, 1000)}, JSQUAD: {"exact_match": hits(7, 10)}}
    suite = compare(*folders(before, after), seed=1).suite("all")
    assert (suite.before, suite.after, suite.difference) == pytest.approx((50.0, 60.0, 10.0))
    assert suite.tasks == {"jnli": 3, "jsquad": 2}


def test_suite_finds_a_small_loss_in_every_task(folders):
    """No task alone is sure; all together are."""
    names = [("jcommonsenseqa", 3), JNLI, ("marc_ja", 3), ("jsquad", 2)]
    before = {name: {"acc": hits(60, 100)} for name in names}
    after = {name: {"acc": hits(56, 100)} for name in names}
    comparison = compare(*folders(before, after), seed=1)
    assert not any(one.real for one in comparison.differences)
    suite = comparison.suite("4")
    assert suite.difference == pytest.approx(-4.0)
    assert suite.real
    assert suite.interval.high < 0


def test_suite_interval_holds_the_true_difference(tmp_path):
    generator = np.random.default_rng(9)
    held = 0
    for seed in range(60):
        folders = [tmp_path / f"{seed}-{side}" for side in "ab"]
        changed = [generator.multinomial(80, [0.1, 0.05, 0.85]) for _ in range(2)]
        for folder, side in zip(folders, (1, 0), strict=True):
            tasks = {
                (f"task{number}", 0): {
                    "acc": [float(side == 0)] * won + [float(side == 1)] * lost + [1.0] * ties
                }
                for number, (won, lost, ties) in enumerate(changed)
            }
            write_evaluation(folder, tasks)
        held += compare(*folders, seed=seed).suite("all").interval.holds(5.0)
    assert held >= 51  # of 57 expected; four standard deviations below


def test_suite_in_which_no_item_changed_has_a_difference_with_a_width(folders):
    scores = {("one", 0): {"acc": hits(9, 10)}, JNLI: {"acc": hits(9, 10)}}
    comparison = compare(*folders(scores, scores), seed=1)
    alone, together = comparison.of("jnli", 3).interval, comparison.suite("all").interval
    assert (together.low, together.high) == pytest.approx((alone.low / sqrt(2), alone.high / sqrt(2)))
    assert together.low < -10 < 10 < together.high


def test_suite_with_a_missing_task_has_no_mean_and_names_it(folders):
    scores = {JNLI: {"acc": hits(5, 10)}}
    suite = compare(*folders(scores, scores), seed=1).suite("4")
    assert suite.difference is None
    assert suite.missing == ("jcommonsenseqa (3 shots)", "marc_ja (3 shots)", "jsquad (2 shots)")


def test_suite_of_all_takes_the_published_shots(folders):
    scores = {
        ("jnli", 0): {"acc": hits(1, 10)},
        JNLI: {"acc": hits(5, 10)},
        ("own", 0): {"acc": hits(1, 10)},
        ("own", 2): {"acc": hits(9, 10)},
    }
    suite = compare(*folders(scores, scores), seed=1).suite("all")
    assert suite.tasks == {"jnli": 3, "own": 2}
    assert suite.before == pytest.approx(70.0)


def test_part_of_the_tasks_alone_makes_a_comparison(folders):
    before = {JNLI: {"acc": hits(60, 100)}, JSQUAD: {"exact_match": hits(0, 50)}}
    loaded = [load_evaluation(folder) for folder in folders(before, before)]
    comparison = pair(*loaded, seed=1, tasks=["jnli"])
    assert [one.task for one in comparison.differences] == ["jnli"]
    assert comparison.suite("all").before == pytest.approx(60.0)


def test_task_in_one_of_the_two_is_named(folders):
    before = {JNLI: {"acc": hits(5, 10)}, ("jnli", 0): {"acc": hits(5, 10)}}
    after = {JNLI: {"acc": hits(5, 10)}, JSQUAD: {"acc": hits(5, 10)}}
    unpaired = compare(*folders(before, after), seed=1).unpaired
    assert [line.partition(": only ")[0] for line in unpaired] == ["jnli (0 shots)", "jsquad (2 shots)"]
    assert unpaired[0].endswith("before")
    assert unpaired[1].endswith("after")


SAME = {JNLI: {"acc": hits(5, 10)}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompts": "0.3"}, "prompt version of jnli with 3 shots: 0.2 against 0.3"),
        ({"chat_template": True}, "chat template .*: False against True"),
        ({"choices": "cloze"}, "listed against cloze"),
        (
            {"data_versions": {"jnli": {"version": "1.1", "sha256": "cd" * 32}}},
            r"data of jnli: version 1.3.* 1.1",
        ),
        ({"data_versions": {}}, "data of jnli: .* against none stated"),
        ({"seed": 2}, "solved examples of jnli@3, drawn by evaluate.seed: 1 against 2"),
    ],
)
def test_what_was_asked_otherwise_is_refused_with_its_name(folders, changes, words):
    with pytest.raises(KajiyaError, match=words):
        compare(*folders(SAME, SAME, **changes), seed=1)


def test_item_in_only_one_of_the_two_is_refused_by_name(tmp_path):
    names = [f"item-{number}" for number in range(10)]
    before = write_evaluation(tmp_path / "a", SAME, ids=names)
    after = write_evaluation(tmp_path / "b", SAME, ids=[*names[:9], "another"])
    with pytest.raises(KajiyaError, match=r"(?s)1 only in .*item-9.*1 only in .*another.*evaluate.limit"):
        compare(before, after, seed=1)


def test_other_shots_are_refused(folders):
    with pytest.raises(KajiyaError, match=r"jnli \(3 shots\) against jnli \(0 shots\)"):
        compare(*folders(SAME, {("jnli", 0): {"acc": hits(5, 10)}}), seed=1)


def test_another_harness_is_a_warning(folders):
    comparison = compare(*folders(SAME, SAME, harness="lm-eval 0.4.2"), seed=1)
    assert len(comparison.warnings) == 1
    assert "lm-eval 0.4.13" in comparison.warnings[0]
    assert "lm-eval 0.4.2 " in comparison.warnings[0]


def test_another_seed_without_examples_of_its_drawing_is_alike(folders):
    """lm-eval's task files draw by a seed of their own."""
    alone = {("jnli", 0): {"acc": hits(5, 10)}}
    assert compare(*folders(alone, alone, seed=2), seed=1).of("jnli", 0).difference == 0
    before, after = folders(SAME, SAME, seed=2)
    for folder in (before, after):
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        results["tasks"]["jnli"]["3"]["prompts"] = "harness ja_leaderboard_jnli 1.3"
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    assert compare(before, after, seed=1).of("jnli", 3).difference == 0


def test_another_precision_is_a_warning(folders):
    (warning,) = compare(*folders(SAME, SAME, dtype="bfloat16"), seed=1).warnings
    assert "float32" in warning
    assert "bfloat16" in warning


def test_comparison_goes_through_json_and_the_seed_alone_decides(folders):
    generator = np.random.default_rng(3)
    values = {JSQUAD: {"f1": generator.random(50)}}, {JSQUAD: {"f1": generator.random(50)}}
    comparison = compare(*folders(*values), seed=1)
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison
    assert compare(*folders(*values), seed=1) == comparison
    assert compare(*folders(*values), seed=2) != comparison
    assert json.loads(comparison.model_dump_json())["differences"][0]["interval"].keys() == {"low", "high"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "results.json").unlink(), "never evaluated"),
        (lambda folder: (folder / "results.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "results.json").write_text("{}"), "no `tasks`"),
        (lambda folder: (folder / "predictions.jsonl").unlink(), "nothing can be paired"),
        (lambda folder: append(folder, '{"task":'), r"predictions.jsonl:11: not valid JSON"),
        (lambda folder: append(folder, '{"id": 1}'), r"predictions.jsonl:11: `task` or `shots` is missing"),
        (lambda folder: append(folder, '{"task": "jnli", "shots": 3, "id": 1}'), "an older kajiya"),
        (lambda folder: append(folder, first_line(folder)), "item 00000 stands there twice"),
        (lambda folder: append(folder, '{"task": "x", "shots": 0, "id": 1, "right": 1, "scores": {}}'), "x with 0 shots is not in"),
        (lambda folder: append(folder, first_line(folder).replace("00000", "new")), "of different runs"),
        (lambda folder: replace_lines(folder, lambda line: line.replace('"acc": 1.0', '"acc": null')), "item 00000 has no number for acc"),
        (lambda folder: replace_lines(folder, lambda _: ""), "no items of jnli with 3 shots"),
        (lambda folder: replace_lines(folder, lambda line: "" if "00000" in line or "00009" in line else line), "8 items of jnli with 3 shots.*says 10"),
    ],
    ids=["no-results", "broken-results", "empty-results", "no-predictions", "broken-line", "no-task", "no-scores",
         "double", "unknown-task", "other-run", "null", "no-lines", "fewer-items"],
)  # fmt: skip
def test_spoilt_folder_is_an_error_with_file_and_remedy(folders, spoil, words):
    before, after = folders(SAME, SAME)
    spoil(after)
    with pytest.raises(KajiyaError, match=words):
        compare(before, after, seed=1)


def append(folder, line):
    with open(folder / "predictions.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")


def first_line(folder):
    return (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()[0]


def replace_lines(folder, change):
    file = folder / "predictions.jsonl"
    lines = [change(line) for line in file.read_text(encoding="utf-8").splitlines()]
    file.write_text("".join(f"{line}\n" for line in lines if line), encoding="utf-8")
