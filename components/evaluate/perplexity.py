"""Perplexity per source, on packed tokens as in training: documents do not see each other."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from components.evaluate.likelihood import check_finite, judge
from kajiya.engine import progress
from kajiya.errors import KajiyaError
from kajiya.evaluation_items import Text
from kajiya.lm.packing import TokenDataset, order, positions

if TYPE_CHECKING:
    from components.evaluate import EvaluateSettings
    from components.evaluate.models import SharedPrefixModel
    from kajiya.evaluation_sets import EvaluationSet


@dataclass(frozen=True)
class Stream:
    """Documents one after the other, each ended by the end-of-sequence token."""

    ids: NDArray[Any]
    starts: NDArray[np.int64]
    """First token of each document."""
    sources: list[str]
    """Of each document."""


@dataclass
class Sum:
    loss: float = 0.0
    """Nats."""
    tokens: int = 0
    characters: int = 0
    bytes: int = 0


def measure_perplexity(
    model: "SharedPrefixModel",
    config: "EvaluateSettings",
    tokens: Path,
    english: "dict[str, EvaluationSet] | None",
) -> dict[str, dict[str, float]]:
    """By source of the validation tokens, and `english` for the English set."""
    results = _measure(model, config, _validation(tokens, model.max_length))
    if english:
        texts = [item.text for item in english["valid"].items if isinstance(item, Text)]
        if "english" in results:
            raise KajiyaError(f"{tokens}: a source is called `english`, like the evaluation set. Rename it.")
        results |= _measure(model, config, _stream(texts, model))
    return results


def _validation(tokens: Path, context: int) -> Stream:
    dataset = TokenDataset(tokens, "validation", min(context, 8))  # checks the files; any length is fine here
    spans = pq.read_table(tokens / "validation.spans.parquet")
    return Stream(dataset.token_ids, spans["start"].to_numpy(), spans["source"].to_pylist())


def _stream(texts: list[str], model: "SharedPrefixModel") -> Stream:
    encoded = [model.tokenizer.encode(text, add_special_tokens=False) for text in texts]
    end = model.tokenizer.eos_token_id
    documents = [np.array([*ids, end], np.int64) for ids in encoded]
    starts = np.cumsum([0, *(len(ids) for ids in documents[:-1])])
    return Stream(np.concatenate(documents), starts, ["english"] * len(texts))


def _measure(
    model: "SharedPrefixModel", config: "EvaluateSettings", stream: Stream
) -> dict[str, dict[str, float]]:
    context = model.max_length
    count = max(1, math.ceil((len(stream.ids) - 1) / context))
    chosen = np.sort(order(config.seed, 0, count)[: max(1, config.perplexity_tokens // context)])
    starts = [int(index) * context for index in chosen]
    sums: dict[str, Sum] = defaultdict(Sum)
    at_once = max(1, config.batch_tokens // context)
    batches = [starts[at : at + at_once] for at in range(0, len(starts), at_once)]
    for batch in progress(batches, "perplexity", len(batches)):
        windows = [stream.ids[start : start + context + 1].astype(np.int64) for start in batch]
        for start, ids, losses in zip(batch, windows, token_losses(model, windows), strict=True):
            _add(sums, model, _parts(stream, start + 1, start + len(ids)), (start, ids, losses))
    with np.errstate(over="ignore"):
        check_finite(model.model, [np.exp(total.loss / total.tokens) for total in sums.values()])
    return {source: _figures(total) for source, total in sorted(sums.items())}


def _add(
    sums: dict[str, Sum],
    model: "SharedPrefixModel",
    parts: Iterator[tuple[str, slice]],
    window: tuple[int, NDArray[np.int64], NDArray[np.float32]],
) -> None:
    """Add each document's part of a window (its start, ids and losses) to the sum of its source."""
    start, ids, losses = window
    for source, part in parts:
        text = model.tokenizer.decode(ids[part.start - start : part.stop - start], skip_special_tokens=True)
        total = sums[source]
        total.loss += float(losses[part.start - start - 1 : part.stop - start - 1].sum())
        total.tokens += part.stop - part.start
        total.characters += len(text)
        total.bytes += len(text.encode())


@torch.inference_mode()
def token_losses(model: "SharedPrefixModel", windows: list[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    """Nats of every token but the first of each window, given those before it in its document."""
    end = model.tokenizer.eos_token_id
    # Padding on the right is seen by no token before it; it only fills the last, shorter window.
    ids = np.full((len(windows), max(map(len, windows))), end, np.int64)
    for row, window in zip(ids, windows, strict=True):
        row[: len(window)] = window
    places = positions(ids[:, :-1], end)
    inputs, place, labels = (
        torch.from_numpy(part).to(model.device) for part in (ids[:, :-1], places, ids[:, 1:])
    )
    # Without use_cache=False transformers ignores the borders in position_ids.
    given = {"input_ids": inputs, "position_ids": place, "use_cache": False}
    if model.reads_trees:
        # Never all logits at once: of 2,048 tokens and 50,000 pieces they are 0.4 GB.
        hidden = model.model.model(**given).last_hidden_state.flatten(0, 1)
        wanted = ids[:, 1:].flatten()
        nats, _ = judge(model.model.get_output_embeddings(), hidden, np.arange(len(wanted)), wanted)
        losses = -nats.reshape(len(windows), -1).astype(np.float32)
    else:
        logits = model.model(**given).logits.float()
        losses = cross_entropy(logits.transpose(1, 2), labels, reduction="none").cpu().numpy()
    return [row[: len(window) - 1] for row, window in zip(losses, windows, strict=True)]


def _parts(stream: Stream, start: int, end: int) -> Iterator[tuple[str, slice]]:
    """The documents' parts within [start, end) with their sources."""
    first = int(np.searchsorted(stream.starts, start, side="right")) - 1
    last = int(np.searchsorted(stream.starts, end, side="left"))
    borders = [start, *(int(begin) for begin in stream.starts[first + 1 : last]), end]
    for document, (left, right) in enumerate(pairwise(borders), first):
        yield stream.sources[document], slice(left, right)


def _figures(total: Sum) -> dict[str, float]:
    return {
        "perplexity": round(math.exp(total.loss / total.tokens), 4),
        "bits_per_byte": round(total.loss / math.log(2) / max(1, total.bytes), 6),
        "bits_per_character": round(total.loss / math.log(2) / max(1, total.characters), 6),
        "tokens": total.tokens,
        "characters": total.characters,
        "bytes": total.bytes,
    }
