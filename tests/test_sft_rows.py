import pytest
import torch
from torch.nn.functional import cross_entropy
from tuning_world import SETTINGS, read_files, record, tune, write

from components.sft.rows import Rows, fill
from kajiya.lm.model import load_model

EXAMPLES = [
    {"input_ids": [start, *range(20 + start, 20 + start + length)], "labels": [-100] * 3 + [20 + start + k for k in range(2, length)]}
    for start, length in enumerate([9, 30, 14, 5, 22, 11])
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tuning_base):
    return load_model(tuning_base, torch.float32).eval()


def losses(model, rows, examples):
    """Loss of each token that counts, by part and row, summed over the step."""
    found = []
    with torch.no_grad():
        for part in rows(examples)["parts"]:
            inputs = {name: value for name, value in part.items() if name != "labels"}
            scores = model(**inputs, use_cache=False).logits[:, :-1]
            each = cross_entropy(scores.transpose(1, 2), part["labels"][:, 1:], reduction="none")
            found += [each[row] for row in range(len(each))]
    return found


def test_rows_are_filled_without_losing_or_splitting_a_conversation():
    rows = fill([50, 10, 60, 30, 90, 20], 100)
    assert sorted(place for row in rows for place in row) == list(range(6))
    assert all(sum([50, 10, 60, 30, 90, 20][place] for place in row) <= 100 for row in rows)
    assert len(rows) == 3


def test_packed_losses_sum_to_those_of_the_conversations_alone(model):
    packed, alone = Rows(64, True, 2, 2), Rows(64, False, 2, 2)
    assert len(packed(EXAMPLES)["parts"]) < len(alone(EXAMPLES)["parts"])
    assert (
        packed(EXAMPLES)["learnt"]
        == alone(EXAMPLES)["learnt"]
        == sum(len(one["labels"]) - 3 for one in EXAMPLES)
    )
    expected = sum(float(each.double().sum()) for each in losses(model, alone, EXAMPLES))
    found = sum(float(each.double().sum()) for each in losses(model, packed, EXAMPLES))
    assert found == pytest.approx(expected, rel=1e-5)


def test_conversation_in_a_row_does_not_see_the_others(model):
    rows = Rows(128, True, 1, 2)
    (before,) = losses(model, rows, EXAMPLES)
    order = fill([len(one["input_ids"]) for one in EXAMPLES], 128)[0]
    changed = list(EXAMPLES)
    changed[order[1]] = changed[order[1]] | {
        "input_ids": [300 + k for k in range(len(changed[order[1]]["input_ids"]))]
    }
    (after,) = losses(model, rows, changed)
    start = len(EXAMPLES[order[0]]["input_ids"])
    end = start + len(EXAMPLES[order[1]]["input_ids"])
    same = before == after
    assert same[: start - 1].all()
    assert same[end - 1 :].all()
    assert not same[start : end - 1].all()


def test_row_without_the_mask_would_leak(model):
    """That the test above can fail: positions alone do not part the conversations where a cache is in use."""
    (part,) = Rows(128, True, 1, 2)(EXAMPLES)["parts"]
    with torch.no_grad():
        blind = model(
            **{name: part[name] for name in ("input_ids", "position_ids", "attention_mask")}, use_cache=False
        )
        seeing = model(input_ids=part["input_ids"], position_ids=part["position_ids"], use_cache=True)
    assert not torch.allclose(blind.logits, seeing.logits, atol=1e-3)


def test_padding_of_a_row_gives_no_nan(model):
    (part,) = Rows(64, False, 8, 2)(EXAMPLES)["parts"]
    with torch.no_grad():
        scores = model(
            **{name: part[name] for name in ("input_ids", "position_ids", "attention_mask")}
        ).logits
    assert torch.isfinite(scores).all()


def test_tuning_packed_learns_what_tuning_alone_learns(tuning_base, tmp_path):
    records = [record(i) for i in range(24)]
    records += [record(i, messages=record(i)["messages"] * 2) for i in range(24, 32)]
    instructions = write(tmp_path / "in", records)
    packed, alone = (
        tune(
            tuning_base,
            instructions,
            tmp_path / name,
            SETTINGS.model_copy(update={"packing": packing, "epochs": 1}),
        )
        for name, packing in (("packed", True), ("alone", False))
    )
    assert packed.figures["loss"] == pytest.approx(alone.figures["loss"], abs=1e-4)
    assert packed.figures["steps"] == alone.figures["steps"]
    assert read_files(tmp_path / "packed").keys() == read_files(tmp_path / "alone").keys()
