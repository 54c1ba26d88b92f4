"""The published scores hold together: their means follow from their tasks, and every row has a source."""

import pytest

from components.gate.settings import TunedLimits
from kajiya.errors import KajiyaError
from kajiya.published_items import other_items
from kajiya.published_scores import FILE, published_scores
from kajiya.suites import PUBLISHED_SHOTS, SUITES


def rows_of(model):
    return [row for row in published_scores() if row.model == model]


def test_stated_means_follow_from_their_tasks_unless_a_note_says_otherwise():
    compared = 0
    for row in published_scores():
        for suite in SUITES:
            stated, computed = row.means.get(suite), row.computed_mean(suite)
            if stated is not None and computed is not None and row.note is None:
                compared += 1
                assert stated == pytest.approx(computed, abs=0.0101), row.model
    assert compared >= 20


def test_mean_that_contradicts_its_tasks_is_noted():
    (row,) = (row for row in published_scores() if row.note)
    assert (row.means["8"], row.computed_mean("8")) == (31.12, 30.99)
    assert "30.99" in row.note


def test_one_model_stands_with_both_its_scores():
    rows = rows_of("rinna/youri-7b-instruction")
    assert [row.mean("8") for row in rows] == [63.63, 66.84]
    assert rows[0].source.title != rows[1].source.title


def test_mean_of_four_tasks_is_computed_where_no_source_states_it():
    computed = next(row for row in rows_of("meta-llama/Llama-2-7b") if row.scores)
    stated = next(row for row in rows_of("meta-llama/Llama-2-7b") if not row.scores)
    assert computed.means.keys() == {"8"}
    assert computed.mean("4") == stated.mean("4") == 56.33


def test_scores_are_points_of_known_tasks():
    for row in published_scores():
        assert row.scores.keys() <= PUBLISHED_SHOTS.keys()
        assert all(0 <= value <= 100 for value in (*row.scores.values(), *row.means.values()))
        assert row.source.address.startswith("https://")


def test_misspelt_key_is_an_error_with_its_line(tmp_path):
    copy = tmp_path / "published.yaml"
    copy.write_text(
        FILE.read_text(encoding="utf-8").replace("    prompts:", "    prompt:", 1), encoding="utf-8"
    )
    with pytest.raises(KajiyaError, match=r"published.yaml:\d+: models.0.prompt: unknown setting"):
        published_scores(copy)


STABILITY = {row.model: row for row in published_scores() if row.source.title.startswith("Stability")}
TUNED = {
    "meta-llama/Llama-2-7b-chat": "meta-llama/Llama-2-7b",
    "meta-llama/Llama-2-13b-chat": "meta-llama/Llama-2-13b",
    "stabilityai/japanese-stablelm-instruct-alpha-7b": "stabilityai/japanese-stablelm-base-alpha-7b",
} | {
    f"rinna/{base}-instruction-{form}": f"rinna/{base}"
    for base, forms in {
        "japanese-gpt-neox-3.6b": ("sft", "sft-v2", "ppo"),
        "bilingual-gpt-neox-4b": ("sft", "ppo"),
    }.items()
    for form in forms
}


def test_limits_of_tuned_variants_lie_above_what_published_tuning_lost():
    """The figures of docs/decisions/0012."""
    means, tasks = {}, {}
    for tuned, base in TUNED.items():
        before, after = STABILITY[base], STABILITY[tuned]
        means[tuned] = round(before.mean("8") - after.mean("8"), 2)
        tasks[tuned] = max(
            (round(before.scores[task] - after.scores[task], 2), task) for task in before.scores
        )
    assert len(TUNED) == 8
    assert {model: lost for model, lost in means.items() if lost > 0} == {"meta-llama/Llama-2-7b-chat": 1.65}
    assert sorted(tasks.values())[-3:] == [(17.43, "jaqket_v2"), (19.5, "jaqket_v2"), (20.87, "jaqket_v2")]
    assert tasks["rinna/japanese-gpt-neox-3.6b-instruction-ppo"] == (17.43, "jaqket_v2")
    assert tasks["stabilityai/japanese-stablelm-instruct-alpha-7b"] == (13.85, "marc_ja")
    usual = TunedLimits()
    assert max(means.values()) * 3 < usual.mean_drop_points + 0.1
    assert max(lost for lost, _ in tasks.values()) < usual.task_drop_points


@pytest.mark.parametrize(
    ("data", "asked", "told"),
    [
        ({"version": "v1.3", "items": 2434}, 2434, ""),
        ({"version": "1.1"}, 100, ""),
        (None, 100, ""),
        ({"version": "v1.3", "items": 2434}, 100, "v1.3, 100"),
        ({"version": "v0.1", "items": 60}, 60, "v0.1, 60"),
    ],
    ids=["whole", "size-unknown", "unknown", "limit", "sample"],
)
def test_items_that_are_not_the_published_ones_are_told(data, asked, told):
    results = {"tasks": {"jnli": {"3": {"acc": 0.5, "n": asked}}}, "data_versions": {"jnli": data}}
    assert other_items(results) == told


def test_items_of_several_tasks_are_told_together_and_other_shots_not_at_all():
    counts = {("jnli", "3"): 60, ("marc_ja", "3"): 300, ("jsquad", "0"): 10}
    results = {
        "tasks": {task: {shots: {"acc": 0.5, "n": count}} for (task, shots), count in counts.items()},
        "data_versions": {task: {"version": "v0.1"} for task, _ in counts},
    }
    assert other_items(results) == "v0.1, 60–300"
