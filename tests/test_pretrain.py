"""The parts of pretraining below the ranks: plan, batches, vocabulary, checkpoints, launcher."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from components.pretrain import _check_devices, _check_vocabulary, run
from components.pretrain.batches import Batches, ValidationSet
from components.pretrain.schedule import learning_rate, planned_steps
from components.pretrain.settings import PretrainSettings, Schedule
from kajiya.errors import KajiyaError
from kajiya.lm.packing import TokenDataset
from kajiya.lm.shape import LlamaShape, derived_ffn_size

PIECES = 64


def write_tokens(folder: Path, train: int = 4000, validation: int = 600) -> Path:
    """A tokens folder whose next token is guessable: small steps upwards, modulo the vocabulary."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("validation", validation)):
        ids = np.cumsum(rng.integers(1, 4, count)) % PIECES
        np.save(folder / f"{split}.npy", ids.astype(np.uint16))
        starts = np.arange(0, count, 50)
        spans = {
            "start": starts,
            "end": np.minimum(starts + 50, count),
            "document_id": [f"d{start}" for start in starts],
            "source": ["diet" if start % 100 else "wikipedia" for start in starts],
        }
        pq.write_table(pa.table(spans), folder / f"{split}.spans.parquet")
    (folder / "tokens.json").write_text(json.dumps({"vocabulary_size": PIECES, "end_of_sequence": 2}))
    return folder


def write_tokenizer(folder: Path, pieces: int = PIECES) -> Path:
    folder.mkdir(parents=True)
    vocabulary = [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0]]
    vocabulary += [[chr(0x3042 + number), -1.0 - number] for number in range(pieces - 3)]
    content = {
        "version": "1.0",
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocabulary},
        "added_tokens": [],
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def small(**changes: object) -> PretrainSettings:
    shape = {"hidden_size": 32, "layers": 2, "heads": 2, "context": 16, "tied_embeddings": True}
    settings = {
        "model": shape,
        "optimizer": {"peak_learning_rate": 0.01},
        "schedule": {"warmup_steps": 2},
        "steps": 12,
        "global_batch_sequences": 16,
        "micro_batch_sequences": 4,
        "threads_per_rank": 1,
        "save_every_steps": 4,
        "validate_every_steps": 6,
        "log_every_steps": 2,
    }
    return PretrainSettings.model_validate(settings | changes)


def test_settings_steps_and_epochs_both_given_refused():
    with pytest.raises(ValidationError, match="not both"):
        small(epochs=1.0)


def test_settings_batch_no_multiple_of_micro_batch_and_ranks_refused():
    with pytest.raises(ValidationError, match="no multiple"):
        small(ranks=3)


def test_steps_from_epochs_fill_whole_batches():
    assert planned_steps(small(steps=None, epochs=2.0), sequences=100) == 12  # 200 sequences, 16 a batch


def test_steps_beyond_max_epochs_refused_with_the_numbers():
    with pytest.raises(KajiyaError, match=r"read the 40 training sequences 4.80 times.*max_epochs is 4"):
        planned_steps(small(), sequences=40)


def test_steps_of_too_little_data_refused():
    with pytest.raises(KajiyaError, match="do not fill one batch of 16"):
        planned_steps(small(steps=None), sequences=10)


def test_cosine_warms_up_peaks_and_ends_at_the_final_fraction():
    schedule = Schedule(kind="cosine", warmup_steps=10, final_fraction=0.1)
    rates = [learning_rate(schedule, 1.0, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == 1.0
    assert rates[54] == pytest.approx(0.55)
    assert rates[99] == pytest.approx(0.1)
    assert rates[9:] == sorted(rates[9:], reverse=True)


def test_wsd_stays_at_the_peak_then_falls_linearly():
    schedule = Schedule(kind="wsd", warmup_steps=10, final_fraction=0.0, decay_fraction=0.2)
    rates = [learning_rate(schedule, 1.0, step, 100) for step in range(100)]
    assert set(rates[9:79]) == {1.0}
    assert rates[89] == pytest.approx(0.5)
    assert rates[99] == 0.0


@pytest.mark.parametrize(("kind", "warmup_steps"), [("cosine", 13), ("wsd", 11)])
def test_schedule_that_does_not_fit_into_the_steps_refused(kind, warmup_steps):
    with pytest.raises(KajiyaError, match=r"do not fit into 12 steps.*Lower schedule\.warmup_steps"):
        planned_steps(small(schedule={"kind": kind, "warmup_steps": warmup_steps}), sequences=100)


def test_batches_of_two_ranks_together_are_the_batch_of_one(tmp_path):
    batches = Batches(TokenDataset(write_tokens(tmp_path / "t"), "train", 16), seed=3, batch=16, micro=4)
    for step in (0, 15, 16):  # 249 sequences: step 15 crosses into the second epoch
        numbers, ids = map(list, zip(*batches.micro_batches(step, 0, 1), strict=True))
        alone = torch.cat(ids)
        parts = [batches.micro_batches(step, rank, 2) for rank in range(2)]
        together = torch.cat([parts[rank][turn][1] for turn in range(2) for rank in range(2)])
        assert torch.equal(alone, together)
        assert np.concatenate(numbers).tolist() == batches.sequence_indices(step).tolist()
        assert np.array_equal(batches.token_ids(np.concatenate(numbers)), alone)


def test_batches_of_an_epoch_see_every_sequence_once(tmp_path):
    batches = Batches(TokenDataset(write_tokens(tmp_path / "t"), "train", 16), seed=3, batch=83, micro=83)
    first, second = (
        np.concatenate([batches.sequence_indices(step) for step in range(start, start + 3)])
        for start in (0, 3)
    )
    assert sorted(first) == list(range(249)) == sorted(second)
    assert first.tolist() != second.tolist()


def test_validation_labels_know_their_source(tmp_path):
    validation = ValidationSet(write_tokens(tmp_path / "t"), context=16, limit=99, seed=1)
    names = validation.sources[validation.label_sources(3)]  # labels 49 ... 64: the border is at 50
    assert names.tolist() == ["wikipedia"] + ["diet"] * 15


@pytest.mark.parametrize(("hidden_size", "llama_2"), [(4096, 11008), (5120, 13824)])
def test_ffn_size_derived_is_that_of_the_published_models(hidden_size, llama_2):
    assert derived_ffn_size(hidden_size) == llama_2


def test_heads_that_do_not_divide_the_width_refused():
    with pytest.raises(ValidationError, match="hidden_size 100 over 3 heads"):
        LlamaShape(hidden_size=100, heads=3)
    with pytest.raises(ValidationError, match="heads 16 is no multiple of kv_heads 3"):
        LlamaShape(kv_heads=3)


def prepare(tmp_path: Path, pieces: int = PIECES) -> dict[str, Path]:
    (tmp_path / "none").mkdir()
    return {
        "tokens": write_tokens(tmp_path / "tokens"),
        "tokenizer": write_tokenizer(tmp_path / "tokenizer", pieces),
        "base": tmp_path / "none",
        "evaluation_sets": tmp_path / "none",
        "out": tmp_path / "out",
        "work": tmp_path / "work",
        "pages": tmp_path / "pages",
    }


def test_tokenizer_of_another_size_than_the_tokens_refused(tmp_path):
    with pytest.raises(KajiyaError, match="has 50 pieces, but the tokens were made with 64"):
        run(small(), **prepare(tmp_path, pieces=50))


def test_base_of_another_vocabulary_size_refused(tmp_path):
    paths = prepare(tmp_path)
    (paths["base"] / "config.json").write_text('{"vocab_size": 32000}')
    with pytest.raises(KajiyaError, match="vocab_size is 32000, but the tokenizer has 64"):
        run(small(), **paths)


def test_base_with_padded_embeddings_and_the_same_pieces_accepted(tmp_path):
    paths = prepare(tmp_path)
    (paths["base"] / "config.json").write_text(f'{{"vocab_size": {PIECES + 64}}}')
    shutil.copy(paths["tokenizer"] / "tokenizer.json", paths["base"])
    _check_vocabulary(PIECES, paths["tokenizer"], paths["base"])


def test_base_with_pieces_numbered_otherwise_refused(tmp_path):
    paths = prepare(tmp_path)
    (paths["base"] / "config.json").write_text(f'{{"vocab_size": {PIECES}}}')
    content = json.loads((paths["tokenizer"] / "tokenizer.json").read_text())
    pieces = content["model"]["vocab"]
    pieces[10], pieces[11] = pieces[11], pieces[10]
    (paths["base"] / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(KajiyaError, match="numbers its pieces otherwise"):
        run(small(), **paths)


def test_more_ranks_than_devices_are_refused_with_the_number_that_fits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    _check_devices(2)
    with pytest.raises(KajiyaError, match=r"128 ranks, but this machine has 2 CUDA devices.*KAJIYA_RANKS"):
        _check_devices(128)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _check_devices(128)  # CPUs are shared
