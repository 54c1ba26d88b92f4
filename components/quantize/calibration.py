"""Choose sequences of validation tokens: some to calibrate on, others to measure on.

The validation tokens are a share of the recipe's mixture taken by document, so the sequences hold its sources
in about its proportions; `tokens_by_source` counts them. A sequence is as it was in training: documents one
after the other, each ended by the end-of-sequence token and blind to the others.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from kajiya.errors import KajiyaError
from kajiya.lm.model import read_config
from kajiya.lm.packing import TokenDataset, order, positions

if TYPE_CHECKING:
    from components.quantize import QuantizeSettings

_LONGEST_SEQUENCE = 2048  # what GPTQ and AWQ were published with; longer ones bring little and cost memory

_FEWEST_TOKENS = 32
"""Different tokens that the calibration must hold: fewer show only a few directions of what layers read."""

Sequence = dict[str, torch.Tensor]
"""input_ids and position_ids, each of shape (tokens,): documents packed in it do not see each other."""


def choose_sequences(
    config: "QuantizeSettings", model: Path, tokens: Path
) -> tuple[list[Sequence], list[Sequence]]:
    """Sequences to calibrate on and others to measure on."""
    dataset = _open(config, model, tokens)
    end = dataset.facts["end_of_sequence"]
    calibration, held_out = split_sequences(len(dataset), config)
    check_variety(np.stack([dataset.sequence(int(index))[:-1] for index in calibration]), dataset.folder)
    return (
        [_sequence(dataset.sequence(int(index))[:-1], end) for index in calibration],
        [_sequence(dataset.sequence(int(index))[:-1], end) for index in held_out],
    )


def split_sequences(count: int, config: "QuantizeSettings") -> tuple[NDArray, NDArray]:
    """Indexes to calibrate on and to measure on: disjoint, never empty for a count from 2 up."""
    shuffled = order(config.seed, 0, count)
    size = min(config.calibration_sequences, max(1, count * 3 // 4))
    return shuffled[:size], shuffled[size : size + config.held_out_sequences]


def check_variety(sequences: NDArray[np.int64], tokens: Path) -> None:
    """Raise KajiyaError where the sequences, of shape (sequences, tokens), say nearly nothing: what a method learns of
    a model's inputs it would learn of one text."""
    distinct, pieces = len(np.unique(sequences, axis=0)), len(np.unique(sequences))
    if distinct * 2 <= len(sequences) > 1 or pieces < _FEWEST_TOKENS:
        raise KajiyaError(
            f"{tokens}/validation.npy: of {len(sequences)} sequences to calibrate on {distinct} differ, and they hold"
            f" {pieces} different tokens (at least {_FEWEST_TOKENS} are needed). The validation text lacks variety:"
            " look at the corpus, or raise the validation share in `tokenize`."
        )


def tokens_by_source(config: "QuantizeSettings", model: Path, tokens: Path) -> dict[str, int]:
    """Tokens of each source among the sequences to calibrate on: what the quantization was fitted to."""
    dataset = _open(config, model, tokens)
    chosen = split_sequences(len(dataset), config)[0]
    spans = pq.read_table(tokens / "validation.spans.parquet", columns=["start", "source"])
    starts, sources = spans["start"].to_numpy(), np.array(spans["source"].to_pylist())
    places = (chosen[:, None] * dataset.context + np.arange(dataset.context)).ravel()
    names, counts = np.unique(sources[np.searchsorted(starts, places, side="right") - 1], return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _open(config: "QuantizeSettings", model: Path, tokens: Path) -> TokenDataset:
    dataset = TokenDataset(tokens, "validation", _sequence_tokens(config, model))
    if len(dataset) < 2:
        raise KajiyaError(
            f"{tokens}/validation.npy: {len(dataset.token_ids)} tokens are less than two sequences of"
            f" {dataset.context}. Raise the validation share in `tokenize`, or lower `sequence_tokens`."
        )
    return dataset


def _sequence(ids: NDArray[np.int64], end_of_sequence: int) -> Sequence:
    return {
        "input_ids": torch.from_numpy(ids),
        "position_ids": torch.from_numpy(positions(ids, end_of_sequence)),
    }


def _sequence_tokens(config: "QuantizeSettings", model: Path) -> int:
    context = read_config(model).max_position_embeddings
    if config.sequence_tokens is None:
        return min(context, _LONGEST_SEQUENCE)
    if config.sequence_tokens > context:
        raise KajiyaError(
            f"quantize: sequence_tokens {config.sequence_tokens} is longer than the context of {model}"
            f" ({context}). Lower it, or leave it out."
        )
    return config.sequence_tokens
