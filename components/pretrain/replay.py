"""Replay: a known part of every global batch is of the sources that the model must not forget.

The sequences fall into two pools, those of the replayed sources and all others. Each pool is walked in its own
shuffled order, epoch after epoch, and how many of a step's sequences come from which pool follows from the
schedule of shares alone. So a step can be recomputed from seed and schedule, and within an epoch of its pool
no sequence is lost or repeated, however often the share changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from kajiya.errors import KajiyaError
from kajiya.lm.packing import TokenDataset
from kajiya.settings import Settings

Change = tuple[int, float]
"""(steps done, share): from there on every batch takes this share from the replay pool."""

# Shares are counted in whole millionths: what a step reads must not hang on rounding.
_MILLION = 1_000_000


class ReplaySettings(Settings):
    """Keep a part of each global batch for sources that the base model knows, so that it does not forget them."""

    sources: tuple[str, ...] = Field(min_length=1)
    """Sources replayed, such as [english]. A sequence is theirs when one of them owns most of its tokens:
    let `tokenize.keep_together` name them too, or short documents share sequences with other sources."""
    share: float | None = Field(default=None, ge=0, lt=1)
    """Share of each global batch taken from them; null: their natural share, that of their sequences."""


@dataclass(frozen=True)
class Pools:
    """Numbers of the training sequences, parted in two."""

    replayed: NDArray[np.int64]
    others: NDArray[np.int64]
    purity: float
    """Share of the tokens in `replayed` that the replayed sources own."""

    @property
    def natural_share(self) -> float:
        return len(self.replayed) / (len(self.replayed) + len(self.others))

    def epochs(self, taken: int, drawn: int) -> dict[str, float]:
        """Passes over each pool once `drawn` sequences are read, `taken` of them replayed."""
        return {"replayed": taken / len(self.replayed), "others": (drawn - taken) / len(self.others)}


def make_pools(dataset: TokenDataset, sources: Sequence[str]) -> Pools:
    """Part the sequences by who owns most of their labels. Raises KajiyaError where a pool stays empty."""
    table = pq.read_table(dataset.folder / f"{dataset.split}.spans.parquet", columns=["start", "source"])
    encoded = table["source"].combine_chunks().dictionary_encode()
    names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    if unknown := sorted(set(sources) - set(names)):
        raise KajiyaError(
            f"pretrain.replay.sources: {', '.join(unknown)} has no training tokens. There are: {', '.join(sorted(names))}."
        )
    starts = np.append(table["start"].to_numpy(), len(dataset.token_ids))
    borders = np.arange(len(dataset) + 1) * dataset.context + 1  # of the labels, each counted once
    most = np.zeros(len(dataset), np.int64)
    replayed = np.zeros(len(dataset), np.bool_)
    owned = np.zeros(len(dataset), np.int64)
    for code, name in enumerate(names):
        tokens = np.diff(_tokens_before(borders, starts, codes == code))
        replayed[tokens > most] = name in sources
        np.maximum(most, tokens, out=most)
        if name in sources:
            owned += tokens
    if replayed.all() or not replayed.any():
        raise KajiyaError(
            f"pretrain.replay: {int(replayed.sum())} of {len(replayed)} training sequences are mostly of "
            f"{', '.join(sources)}; replay needs some of both kinds. Set `tokenize.keep_together` to these sources, "
            "or bring more text."
        )
    purity = float(owned[replayed].sum() / (replayed.sum() * dataset.context))
    return Pools(np.flatnonzero(replayed), np.flatnonzero(~replayed), purity)


def _tokens_before(
    places: NDArray[np.int64], starts: NDArray[np.int64], own: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """How many tokens of the spans marked `own` stand before each place. starts: of the spans, and the end."""
    before = np.append(0, np.cumsum(np.where(own, np.diff(starts), 0)))
    span = np.minimum(np.searchsorted(starts, places, side="right") - 1, len(own) - 1)
    return before[span] + np.where(own[span], places - starts[span], 0)


def taken(schedule: Sequence[Change], batch: int, step: int) -> int:
    """Sequences of the replay pool in the `step` steps before this one (from 0)."""
    total = 0
    for (first, share), (end, _) in pairwise([*schedule, (step, 0.0)]):
        total += max(0, min(end, step) - first) * batch * round(share * _MILLION) // _MILLION
    return total


def initial_share(settings: ReplaySettings | None, pools: Pools) -> float:
    """As the settings say; by default the pool's part of all sequences."""
    share = settings.share if settings else None
    return round(pools.natural_share, 6) if share is None else share


def check_plan(settings: ReplaySettings, pools: Pools, batch: int, steps: int, max_epochs: float) -> None:
    """Raise KajiyaError where the plan reads a pool more often than the settings allow."""
    read = taken([(0, initial_share(settings, pools))], batch, steps)
    for name, epochs in pools.epochs(read, steps * batch).items():
        if epochs > max_epochs:
            count = len(pools.replayed if name == "replayed" else pools.others)
            raise KajiyaError(
                f"pretrain.replay: {steps} steps read the {count} sequences of the pool `{name}` {epochs:.2f} "
                f"times, but max_epochs is {max_epochs:g}. Change replay.share, bring more text, or raise max_epochs "
                "knowingly."
            )


def largest_share(
    pools: Pools, schedule: Sequence[Change], batch: int, steps: int, max_epochs: float
) -> float:
    """The share from the last change of `schedule` on with which the replay pool lasts to the end."""
    first = schedule[-1][0]
    left = max_epochs * len(pools.replayed) - taken(schedule, batch, first)
    return max(0.0, left / max(1, (steps - first) * batch))
