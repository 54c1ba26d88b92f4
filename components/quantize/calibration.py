"""Choose sequences of validation tokens: some to calibrate on, others to measure on."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from kajiya.errors import KajiyaError
from kajiya.lm.model import read_config
from kajiya.lm.packing import TokenDataset, order, positions

if TYPE_CHECKING:
    from components.quantize import QuantizeSettings

_LONGEST_SEQUENCE = 2048  # what GPTQ and AWQ were published with; longer ones bring little and cost memory

Sequence = dict[str, torch.Tensor]
"""input_ids and position_ids, each of shape (tokens,): documents packed in it do not see each other."""


def choose_sequences(
    config: "QuantizeSettings", model: Path, tokens: Path
) -> tuple[list[Sequence], list[Sequence]]:
    """Sequences to calibrate on and others to measure on."""
    dataset = TokenDataset(tokens, "validation", _sequence_tokens(config, model))
    if len(dataset) < 2:
        raise KajiyaError(
            f"{tokens}/validation.npy: {len(dataset.token_ids)} tokens are less than two sequences of"
            f" {dataset.context}. Raise the validation share in `tokenize`, or lower `sequence_tokens`."
        )
    end = dataset.facts["end_of_sequence"]
    calibration, held_out = split_sequences(len(dataset), config)
    return (
        [_sequence(dataset.sequence(int(index))[:-1], end) for index in calibration],
        [_sequence(dataset.sequence(int(index))[:-1], end) for index in held_out],
    )


def split_sequences(count: int, config: "QuantizeSettings") -> tuple[NDArray, NDArray]:
    """Indexes to calibrate on and to measure on: disjoint, never empty for a count from 2 up."""
    shuffled = order(config.seed, 0, count)
    size = min(config.calibration_sequences, max(1, count * 3 // 4))
    return shuffled[:size], shuffled[size : size + config.held_out_sequences]


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
