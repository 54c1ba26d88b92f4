"""Whole trainings that forget: a base that knows one language is continued on another, with and without replay."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from test_forgetting import letters
from test_pretrain import PIECES, small, write_tokenizer
from test_pretrain_loop import Crash, Hand, job, one_rank  # noqa: F401 - the fixture is for this module too
from test_pretrain_loop import run as run_loop

from kajiya.lm.model import fresh_model, llama_config, save_model

STEPS = 24


def language(rng: np.random.Generator, count: int, direction: int) -> np.ndarray:
    """English counts upwards in small steps, Japanese downwards: what one learns of the other is nothing."""
    return 3 + np.cumsum(direction * rng.integers(1, 4, count)) % (PIECES - 3)


def write_tokens(folder: Path, english: int, japanese: int) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, share in (("train", 1.0), ("validation", 0.1)):
        lengths = [int(count * share) for count in (japanese, english)]
        parts = [language(rng, count, way) for count, way in zip(lengths, (-1, 1), strict=True)]
        np.save(folder / f"{split}.npy", np.concatenate(parts).astype(np.uint16))
        spans = {"start": [0, lengths[0]], "end": [lengths[0], sum(lengths)], "source": ["ja", "en"]}
        table = pa.table({**spans, "document_id": ["ja", "en"]})
        pq.write_table(table.slice(0 if japanese else 1), folder / f"{split}.spans.parquet")
    (folder / "tokens.json").write_text(json.dumps({"vocabulary_size": PIECES, "end_of_sequence": 2}))
    return folder


def write_sets(folder: Path) -> Path:
    """What follows upwards, and what downwards: only the first is right in English."""
    rng = np.random.default_rng(1)
    items = []
    for number in range(40):
        start = int(rng.integers(12, 40))
        ways = [letters(start + 8, start + 10), letters(start + 4, start + 2)]
        question = letters(*range(start, start + 7, 2))
        items.append({"question": question, "choices": ways[:: 1 - 2 * (number % 2)], "label": number % 2})
    (folder / "count").mkdir(parents=True)
    (folder / "count" / "valid-v1.0.json").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A base trained on English, and tokens of which a tenth is English."""
    folder = tmp_path_factory.mktemp("forgetting")
    (folder / "none").mkdir()
    paths = {"tokenizer": write_tokenizer(folder / "tokenizer"), "base": folder / "none"}
    paths["evaluation_sets"] = write_sets(folder / "sets")
    tokens = write_tokens(folder / "tokens", 2_000, 20_000)
    return paths | {"tokens": tokens, "base": write_base(folder / "base", paths["tokenizer"])}


def write_base(folder: Path, tokenizer: Path) -> Path:
    """A model that has learned English and nothing else."""
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
    model = fresh_model(llama_config(small().model, PIECES, special), seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    rng = np.random.default_rng(2)
    english = language(rng, 20_000, 1)
    for _ in range(80):
        begins = rng.integers(0, len(english) - 17, 16)
        ids = torch.from_numpy(np.stack([english[begin : begin + 17] for begin in begins]))
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    save_model(model, model.state_dict(), tokenizer, folder)
    return folder


def config(share: float, **changes: object):
    watch = {
        "every_steps": 6,
        "sources": ["en"],
        "tasks": {"count": {"prompt": "{question}{choice}"}},
        "max_perplexity_ratio": 1.2,
    }
    return small(
        steps=STEPS,
        precision="fp32",
        max_epochs=9,
        replay={"sources": ["en"], "share": share},
        forgetting=watch | changes,
    )


def train(world, folder: Path, settings, hand: Hand | None = None) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("test_pretrain_loop.job", lambda *given: job(*given) | {"base": str(world["base"])})
        return run_loop(world, folder, settings, hand)


def figures(content: dict[str, bytes]) -> dict:
    return json.loads(content["figures"])


@pytest.fixture(scope="module")
def without(world, tmp_path_factory):
    return train(world, tmp_path_factory.mktemp("without"), config(0.0))


@pytest.fixture(scope="module")
def raised(world, tmp_path_factory):
    return train(world, tmp_path_factory.mktemp("raised"), config(0.1, on_bound="raise_replay"))


def test_training_without_replay_forgets_and_alarms(without):
    table = figures(without)["forgetting"]
    base, last = table["steps"][0], table["last"]
    assert [entry["step"] for entry in table["steps"]] == [0, 6, 12, 18, 24]
    assert base["values"]["accuracy/count"] > 0.9
    assert last["values"]["perplexity/en"] > 2 * base["values"]["perplexity/en"]
    assert last["mean_accuracy_difference"] < -0.2
    assert base["alarms"] == []
    assert table["alarms"] >= 4
    assert figures(without)["replay"]["share_read"] == 0.0


def test_replay_raised_past_the_bound_forgets_less(without, raised):
    table = figures(raised)["forgetting"]
    assert table["replay_raised"] == [
        {"step": 6, "share": 0.15},
        {"step": 12, "share": 0.225},
        {"step": 18, "share": 0.3375},
    ]
    assert 0.1 < figures(raised)["replay"]["share_read"] <= 0.5
    lasts = [figures(out)["forgetting"]["last"]["values"] for out in (without, raised)]
    assert lasts[1]["perplexity/en"] < lasts[0]["perplexity/en"] / 1.5
    assert lasts[1]["accuracy/count"] > lasts[0]["accuracy/count"]


@pytest.mark.parametrize(
    "at", [("measure what is forgotten", 12), ("forward and backward", 17), ("save", 20)]
)
def test_run_that_crashes_after_a_raise_ends_in_the_same_bytes(world, raised, tmp_path, at):
    settings = config(0.1, on_bound="raise_replay")
    with pytest.raises(Crash):
        train(world, tmp_path, settings, Hand(*at))
    assert train(world, tmp_path, settings) == raised
