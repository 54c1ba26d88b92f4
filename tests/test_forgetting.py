"""The forgetting monitor: what it measures, when a bound is crossed, and what comes of it."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from test_pretrain import small, write_tokenizer, write_tokens

from components.pretrain import forgetting
from components.pretrain.forgetting import ForgettingSettings
from components.pretrain.measures import Choice, Measures, Task, accuracy, label_losses
from components.pretrain.monitor import Monitor, make_batches
from kajiya.errors import KajiyaError
from kajiya.lm.packing import TokenDataset

BASE = {"perplexity/en": 10.0, "accuracy/arc": 0.5, "accuracy/hellaswag": 0.7}


def settings(**changes: object) -> ForgettingSettings:
    return ForgettingSettings.model_validate({"sources": ["en"]} | changes)


def letters(*ids: int) -> str:
    """The text that test_pretrain's tokenizer reads as these ids."""
    return "".join(chr(0x3042 + one - 3) for one in ids)


class CountingEngine:
    """The loss of a label is its distance from the token before plus one."""

    device = torch.device("cpu")

    def __init__(self, rank: int = 0, ranks: int = 1) -> None:
        self.rank, self.ranks = rank, ranks
        self.batches: list[tuple[int, ...]] = []

    def losses(self, tokens: torch.Tensor) -> torch.Tensor:
        self.batches.append(tuple(tokens.shape))
        return (tokens[:, 1:] - tokens[:, :-1] - 1).abs().float()


def write_sets(folder):
    sets = {
        "arc": [
            {"question": letters(10, 11), "choices": [letters(12, 13), letters(30, 31)], "label": 0},
            {"question": letters(20, 21), "choices": [letters(40), letters(23)], "label": 0},
        ],
        "novels": [{"text": letters(5, 6, 7, 9)}, {"text": letters(8, 9)}],
    }
    for name, items in sets.items():
        (folder / name).mkdir(parents=True)
        for split in ("train", "valid"):
            text = "".join(json.dumps(item) + "\n" for item in items)
            (folder / name / f"{split}-v1.0.json").write_text(text)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return write_sets(folder / "sets"), write_tokenizer(folder / "tokenizer")


def measures(folders, context=16, **changes):
    return Measures(settings(sources=[], **changes), *folders, context, seed=1)


def test_accuracy_is_the_share_of_items_whose_likeliest_choice_is_right(folders):
    found = measures(folders, tasks={"arc": {"prompt": "{question}{choice}"}})
    assert found.take(CountingEngine(), 2, {}) == {"accuracy/arc": 0.5}  # the second: 23 is nearer than 40


@pytest.mark.parametrize(("normalise", "right"), [("characters", 1.0), ("tokens", 1.0), ("none", 0.0)])
def test_normalisation_decides_between_a_long_and_a_short_choice(tmp_path, folders, normalise, right):
    (tmp_path / "long").mkdir()
    item = {"question": letters(10), "choices": [letters(12, 14, 16), letters(13)], "label": 0}
    (tmp_path / "long" / "valid-v1.0.json").write_text(json.dumps(item))
    task = {"prompt": "{question}{choice}", "normalise": normalise}  # losses 1 + 1 + 1 against 2
    found = measures((tmp_path, folders[1]), tasks={"long": task})
    assert found.take(CountingEngine(), 2, {}) == {"accuracy/long": right}


def test_text_perplexity_is_that_of_the_texts_joined_by_the_border(folders):
    found = measures(folders, texts=["novels"])
    ids = [2, 5, 6, 7, 9, 2, 8, 9]
    losses = [abs(b - a - 1) for a, b in itertools.pairwise(ids)]
    expected = math.exp(sum(losses) / len(losses))
    assert found.take(CountingEngine(), 2, {}) == {"text_perplexity/novels": pytest.approx(expected)}


def test_text_longer_than_the_context_counts_every_token_once(folders):
    short, whole = (measures(folders, context=context, texts=["novels"]) for context in (3, 16))
    values = [one.take(CountingEngine(), 2, {}) for one in (short, whole)]
    assert values[0] == pytest.approx(values[1])


def test_text_is_read_up_to_the_tokens_asked_for(folders):
    windows = measures(folders, texts=["novels"], text_tokens=4).texts["novels"]
    assert [window.tolist() for window in windows] == [[2, 5, 6, 7, 9]]


def test_source_perplexity_comes_from_the_validation_loss(folders):
    found = Measures(settings(), *folders, 16, seed=1).take(CountingEngine(), 2, {"": 3.0, "en": 2.0})
    assert found == {"perplexity/en": pytest.approx(math.exp(2))}


def test_source_that_validation_does_not_hold_is_named(folders):
    with pytest.raises(KajiyaError, match=r"no validation sequence is of en. There are: diet"):
        Measures(settings(), *folders, 16, seed=1).take(CountingEngine(), 2, {"": 3.0, "diet": 2.0})


def test_examples_stand_before_the_question(folders):
    task = {"prompt": "{question}{choice}", "shots": 1}
    choices = measures(folders, context=64, tasks={"arc": task}).tasks["arc"].choices
    bare = measures(folders, tasks={"arc": task | {"shots": 0}}).tasks["arc"].choices
    for one, alone in zip(choices, bare, strict=True):
        assert one.ids[-one.scored :].tolist() == alone.ids[-alone.scored :].tolist()
        assert len(one.ids) > len(alone.ids) + 3


def test_ranks_make_as_many_forward_passes_and_share_the_windows(monkeypatch):
    windows = [np.arange(length) * 2 for length in (3, 9, 4, 8, 5)]
    alone = label_losses(CountingEngine(), windows, 2, 0)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda total: None)
    engines = [CountingEngine(rank, 2) for rank in range(2)]
    parts = [label_losses(engine, windows, 2, 0) for engine in engines]
    assert [len(engine.batches) for engine in engines] == [2, 2]
    for whole, one, other, window in zip(alone, *parts, windows, strict=True):
        assert whole.tolist() == (one + other).tolist() == [1.0] * (len(window) - 1)


def test_choices_of_one_score_count_the_first():
    choices = [Choice(0, np.array([1, 2]), 1, 1), Choice(0, np.array([1, 3]), 1, 1)]
    assert accuracy(Task(choices, np.array([0])), [np.array([0.5]), np.array([0.5])]) == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {"novels": {}}}, "the set novels is no multiple choice"),
        ({"texts": ["arc"]}, "the set arc is not one of texts"),
        ({"texts": ["mmlu"]}, r"has no set `mmlu`. There are: arc, novels"),
        ({"tasks": {"arc": {"shots": 3}}}, "3 examples asked for, but the split train has 2"),
    ],
)
def test_set_of_another_kind_is_refused_with_what_to_do(folders, changes, message):
    with pytest.raises(KajiyaError, match=message):
        measures(folders, **changes)


def test_choice_longer_than_the_context_is_refused(folders):
    with pytest.raises(KajiyaError, match="is 2 tokens long; it must be 1 to 1"):
        measures(folders, context=1, tasks={"arc": {"prompt": "{question}{choice}"}})


@pytest.mark.parametrize(
    ("now", "crossed"),
    [
        ({"perplexity/en": 10.9}, []),
        ({"perplexity/en": 11.1}, ["perplexity/en"]),
        ({"perplexity/en": math.nan}, ["perplexity/en"]),
        ({"accuracy/arc": 0.49, "accuracy/hellaswag": 0.66}, []),  # 2.5 points of the mean
        ({"accuracy/arc": 0.42}, ["mean accuracy"]),
        ({"accuracy/arc": 0.1, "accuracy/hellaswag": 1.0}, ["mean accuracy"]),
        ({"perplexity/en": 12.0, "accuracy/arc": 0.0}, ["perplexity/en", "mean accuracy"]),
    ],
)
def test_bounds_are_those_of_the_base(now, crossed):
    found = forgetting.breaches(settings(tasks={"arc": {}}), BASE, BASE | now)
    assert [one.measure for one in found] == crossed


def test_bound_set_to_null_is_none():
    config = settings(max_perplexity_ratio=None, max_accuracy_drop=None)
    assert not list(forgetting.breaches(config, BASE, dict.fromkeys(BASE, 0.0) | {"perplexity/en": 1e9}))


def test_share_is_raised_by_the_factor_up_to_the_maximum_and_the_data():
    config = settings(raise_factor=2, max_replay_share=0.5)
    assert forgetting.raised_share(config, 0.1, largest=1.0) == 0.2
    assert forgetting.raised_share(config, 0.4, largest=1.0) == 0.5
    assert forgetting.raised_share(config, 0.1, largest=0.15) == 0.15
    assert forgetting.raised_share(config, 0.1, largest=0.05) == 0.1  # never lowered
    assert forgetting.raised_share(config, 0.0, largest=1.0) == 0.05


def test_schedule_follows_from_the_rows_alone():
    rows = [{"step": 0}, {"step": 4, "replay_share": 0.2}, {"step": 6}, {"step": 8, "replay_share": 0.4}]
    assert forgetting.shares(rows, 0.1) == [(0, 0.1), (4, 0.2), (8, 0.4)]


def test_report_is_a_table_of_steps_with_differences_from_the_base():
    rows = [
        {"step": 0, **forgetting.as_row(BASE)},
        {"step": 5, "loss": 2.0},
        {"step": 10, "loss": 1.0, "replay_share": 0.2, **forgetting.as_row(BASE | {"perplexity/en": 12.0})},
    ]
    found = forgetting.report(settings(tasks={"arc": {}}), rows)
    assert [entry["step"] for entry in found["steps"]] == [0, 10]
    assert found["steps"][0]["mean_accuracy"] == 0.6
    assert found["last"] == found["steps"][1]
    assert found["last"]["differences"]["perplexity/en"] == 2.0
    assert found["last"]["mean_accuracy_difference"] == 0.0
    assert found["alarms"] == 1
    assert found["replay_raised"] == [{"step": 10, "share": 0.2}]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": []}, "name at least one of sources, texts and tasks"),
        ({"tasks": {"arc": {"prompt": "{choice} {question}"}}}, "end with {choice}"),
    ],
)
def test_settings_that_cannot_work_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        settings(**values)


def test_raising_the_share_without_replay_is_refused():
    with pytest.raises(ValidationError, match="needs `replay`"):
        small(forgetting={"sources": ["diet"], "on_bound": "raise_replay"})


def monitor(folders, tmp_path, dataset_tokens, **changes) -> Monitor:
    config = small(
        steps=40,
        max_epochs=9,
        replay={"sources": ["diet"], "share": 0.1},
        forgetting={"texts": ["novels"], "every_steps": 5, "max_perplexity_ratio": 1.5} | changes,
    )
    job = {"steps": 40, "evaluation_sets": str(folders[0]), "tokenizer": str(folders[1])}
    made = Monitor(job, config, make_batches(config, TokenDataset(dataset_tokens, "train", 16)))
    made.resume([])
    return made


@pytest.fixture(scope="module")
def dataset_tokens(tmp_path_factory):
    return write_tokens(tmp_path_factory.mktemp("tokens") / "t")


class WorseEngine(CountingEngine):
    def losses(self, tokens: torch.Tensor) -> torch.Tensor:
        return super().losses(tokens) + 1


def test_monitor_past_the_bound_alarms(folders, tmp_path, dataset_tokens, capfd):
    made = monitor(folders, tmp_path, dataset_tokens)
    made.watch(CountingEngine(), 0, {})
    row = made.watch(WorseEngine(), 5, {})
    assert list(row) == ["forgetting/text_perplexity/novels"]
    assert "warning: forgetting at step 5: text perplexity/novels is" in capfd.readouterr().err


def test_monitor_past_the_bound_stops_naming_measure_and_bound(folders, tmp_path, dataset_tokens):
    made = monitor(folders, tmp_path, dataset_tokens, on_bound="stop")
    made.watch(CountingEngine(), 0, {})
    made.watch(CountingEngine(), 5, {})
    with pytest.raises(
        KajiyaError, match=r"forgetting at step 10: text perplexity/novels is .* the bound .*on_bound"
    ):
        made.watch(WorseEngine(), 10, {})


def test_monitor_raises_the_share_of_later_steps_alone_and_takes_it_up_again(
    folders, tmp_path, dataset_tokens
):
    made = monitor(folders, tmp_path, dataset_tokens, on_bound="raise_replay", max_replay_share=0.2)
    batches = made._batches
    before = [batches.sequence_indices(step).tolist() for step in range(5)]
    rows = [{"step": 0, **made.watch(CountingEngine(), 0, {})}]
    rows += [{"step": step, **made.watch(WorseEngine(), step, {})} for step in (5, 10, 15)]
    assert batches.schedule == ((0, 0.1), (5, 0.15), (10, 0.2))  # at 15 it is at its largest
    assert [batches.sequence_indices(step).tolist() for step in range(5)] == before

    again = monitor(folders, tmp_path, dataset_tokens, on_bound="raise_replay", max_replay_share=0.2)
    again.resume(json.loads(json.dumps(rows)))
    assert again._batches.schedule == batches.schedule
    assert "forgetting/text_perplexity/novels" in again.watch(CountingEngine(), 20, {})
