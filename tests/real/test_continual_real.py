"""Real published weights as the base of a recipe: they are continued from, as they are, through the real stages."""

import gzip
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from components.pretrain import PretrainSettings
from components.pretrain import run as run_pretrain
from components.pretrain.batches import Batches, ValidationSet
from components.tokenize import TokenizeSettings
from components.tokenize import run as run_tokenize
from components.tokenizer import TokenizerSettings
from components.tokenizer import run as run_tokenizer
from kajiya.lm.llama2c import convert_llama2c
from kajiya.lm.packing import TokenDataset
from kajiya.shards import write_dataset
from kajiya.stage import execute

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
STORIES = DATA / "stories260k"
pytestmark = pytest.mark.skipif(
    not STORIES.is_dir(), reason=f"no real data at {STORIES} (set KAJIYA_SHARED_DATA)"
)

CONTEXT, STEPS = 512, 30


def records():
    about = {"license": "public-domain", "generator": "human"}
    for language, name, count, end in (("en", "en_classic_books", 4, 30_000), ("ja", "aozora", 6, 9_000)):
        with gzip.open(DATA / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in itertools.islice(lines, count)]
        pieces = [text[at : at + 1500] for text in texts for at in range(1500, min(len(text), end), 1500)]
        for number, text in enumerate(piece for piece in pieces if piece.strip()):
            yield {"id": f"{name}:{number}", "source": name, "language": language, "text": text, **about}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """base, tokenizer, tokens and trained below one folder; the report of the training beside."""
    folder = tmp_path_factory.mktemp("continual")
    convert_llama2c(STORIES / "stories260K.bin", STORIES / "tok512.bin", folder / "base")
    write_dataset(records(), folder / "corpus")
    (folder / "none").mkdir()
    corpus, base, tokenizer = folder / "corpus", folder / "base", folder / "tokenizer"
    execute(run_tokenizer, TokenizerSettings(kind="take", check_strings=200), [corpus, base], tokenizer)
    execute(run_tokenize, TokenizeSettings(validation_share=0.1), [corpus, tokenizer], folder / "tokens")
    settings = PretrainSettings.model_validate(
        {
            "model": {"context": CONTEXT},
            "optimizer": {"peak_learning_rate": 1e-3, "weight_decay": 0.0},
            "schedule": {"warmup_steps": 4},
            "steps": STEPS,
            "global_batch_sequences": 8,
            "micro_batch_sequences": 8,
            "precision": "fp32",
            "threads_per_rank": 1,
            "log_every_steps": 1,
            "validate_every_steps": STEPS,
            "validation_sequences": 16,
        }
    )
    report = execute(
        run_pretrain, settings, [folder / "tokens", tokenizer, base, folder / "none"], folder / "trained"
    )
    return folder, settings, report


def lines(project):
    return [json.loads(line) for line in (project[0] / "trained" / "metrics.jsonl").read_text().splitlines()]


def loss_by_transformers(folder, sequences):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = torch.from_numpy(np.stack(sequences))
    with torch.no_grad():
        logits = model(tokens[:, :-1]).logits
    return float(cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()))


def test_every_document_begins_and_ends_as_the_base_knows_it(project):
    tokens = np.load(project[0] / "tokens" / "train.npy")
    assert tokens[0] == 1
    assert tokens[-1] == 2
    assert set(tokens[1:][tokens[:-1] == 2].tolist()) == {1}
    assert (tokens[(tokens >= 3) & (tokens < 259)]).size > tokens.size / 5  # Japanese in bytes


def test_first_loss_is_that_of_the_base_by_plain_transformers(project):
    folder, settings, _ = project
    dataset = TokenDataset(folder / "tokens", "train", CONTEXT)
    batches = Batches(dataset, settings.seed, 8, 8)

    first = [dataset.sequence(int(index)) for index in batches.sequence_indices(0)]

    assert lines(project)[0]["loss"] == pytest.approx(loss_by_transformers(folder / "base", first), rel=1e-5)


def test_training_on_other_text_lowers_the_loss_of_both_languages(project):
    folder, settings, report = project
    validation = ValidationSet(folder / "tokens", CONTEXT, 16, settings.seed)
    sequences = [validation.dataset.sequence(int(index)) for index in validation.indices]

    before = loss_by_transformers(folder / "base", sequences)
    after = loss_by_transformers(folder / "trained", sequences)

    assert report.figures["validation_loss"] == pytest.approx(after, rel=1e-5)
    assert after < before - 1.0
    assert {f"validation_loss/{name}" for name in ("aozora", "en_classic_books")} <= report.figures.keys()


def test_shape_vocabulary_and_tied_head_are_those_of_the_base(project):
    folder, _, report = project
    base, trained = (json.loads((folder / name / "config.json").read_text()) for name in ("base", "trained"))
    assert trained == base
    assert report.figures["parameters"] == 260_032
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / "trained" / name).read_bytes() == (folder / "base" / name).read_bytes()


def test_result_loads_and_generates(project):
    tokenizer = AutoTokenizer.from_pretrained(project[0] / "trained")
    model = AutoModelForCausalLM.from_pretrained(project[0] / "trained")

    tokens = model.generate(**tokenizer("Once upon", return_tensors="pt"), max_new_tokens=20, do_sample=False)

    assert tokenizer.decode(tokens[0], skip_special_tokens=True).startswith("Once upon")
    assert len(tokens[0]) > 3
