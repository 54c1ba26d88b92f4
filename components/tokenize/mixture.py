"""Decide what trains, how often, in which order, and what validates; pure functions on arrays."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.tokenize.encode import Index
from components.tokenize.settings import TokenizeSettings
from kajiya.errors import KajiyaError
from kajiya.lm.packing import mix
from kajiya.report import Flow

# One hash per document, three independent choices: each mixes it with a number of its own.
_VALIDATION, _DRAW, _ORDER = (np.uint64(number) for number in (1, 2, 3))


@dataclass(frozen=True)
class Mixture:
    train: NDArray[np.int64]
    """Documents (rows of the index) in training order, repeated ones several times."""
    validation: NDArray[np.int64]
    """Documents in validation order."""
    left_out: NDArray[np.int64]
    """Documents the mixture had no room for, in order of the corpus."""
    repetitions: dict[str, float]
    """Epochs over the training documents of each source."""

    def flows(self, index: Index) -> dict[str, Flow]:
        """Every document of the corpus: used, or left out by the mixture."""
        came_in = Counter(index.sources.to_pylist())
        left_out = Counter(index.sources.take(pa.array(self.left_out)).to_pylist())
        # Counted from what is written, so that a document lost or in both splits does not add up.
        rows = np.concatenate([np.unique(self.train), np.unique(self.validation)])
        used = Counter(index.sources.take(pa.array(rows)).to_pylist())
        return {
            source: Flow(came_in=count, out=used[source], rejected=_reasons(left_out[source]))
            for source, count in sorted(came_in.items())
        }


def plan(index: Index, config: TokenizeSettings) -> Mixture:
    """Split and mix the corpus as the settings say."""
    encoding = index.sources.combine_chunks().dictionary_encode()
    names, codes = encoding.dictionary.to_pylist(), encoding.indices.to_numpy()
    validates = _validation(codes, len(names), index.hashes, config.validation_share)
    weighed = np.where(validates, 0, index.lengths + 1)
    available = np.bincount(codes, weights=weighed, minlength=len(names))
    rates = repetitions(dict(zip(names, available.tolist(), strict=True)), config)
    copies = _copies(np.array([rates[name] for name in names])[codes], index.hashes)
    copies[validates] = 0
    rows = np.arange(len(codes))
    train = np.repeat(rows, copies)
    if not len(train):
        raise KajiyaError("the mixture leaves no document to train on: raise `tokens`, or bring more text.")
    repeat = np.arange(len(train)) - np.repeat(np.cumsum(copies) - copies, copies)
    ordered = train[_order(index.hashes[train], repeat)]
    return Mixture(
        train=ordered[np.argsort(_groups(names, config.keep_together)[codes[ordered]], kind="stable")],
        validation=rows[validates][_order(index.hashes[validates], np.zeros(int(validates.sum())))],
        left_out=rows[(copies == 0) & ~validates],
        repetitions={name: rates[name] for name in sorted(names)},
    )


def repetitions(available: dict[str, float], config: TokenizeSettings) -> dict[str, float]:
    """Epochs over each source, from its share of the wanted tokens and the tokens it has."""
    total = sum(available.values())
    wanted = config.tokens or total
    weights = config.weights
    if weights is None:
        rates = dict.fromkeys(available, wanted / max(1.0, total))
    else:
        _check_weights(weights, available)
        rates = {source: weights[source] * wanted / max(1.0, available[source]) for source in available}
    _check_epochs(rates, available, wanted, config.max_epochs)
    return rates


def _check_epochs(
    rates: dict[str, float], available: dict[str, float], wanted: float, max_epochs: float
) -> None:
    most = max(rates, key=lambda source: rates[source])
    if rates[most] > max_epochs * (1 + 1e-9):
        raise KajiyaError(
            f"tokenize: {most} would be repeated {rates[most]:.2f} times, max_epochs is {max_epochs:g}: it has "
            f"{int(available[most])} training tokens, the mixture asks for {int(rates[most] * available[most])}. "
            f"Lower its weight, or set `tokens` to {int(wanted * max_epochs / rates[most])} at most, or raise "
            "max_epochs."
        )


def _check_weights(weights: dict[str, float], available: dict[str, float]) -> None:
    if unknown := sorted(set(weights) - set(available)):
        raise KajiyaError(
            f"tokenize.weights names {', '.join(unknown)}, of which the corpus has no document. "
            f"It holds: {', '.join(sorted(available))}."
        )
    if missing := sorted(set(available) - set(weights)):
        raise KajiyaError(
            f"tokenize.weights has no weight for {', '.join(missing)}, which the corpus holds: "
            "give each source its share (0 leaves one out of training)."
        )
    if abs(sum(weights.values()) - 1) > 1e-6:
        raise KajiyaError(
            f"tokenize.weights sum to {sum(weights.values()):g}: they are shares and must sum to 1."
        )


def _validation(codes: NDArray, sources: int, hashes: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    draw = mix(hashes ^ mix(_VALIDATION))
    validates = draw / 2.0**64 < share
    for code in range(sources):  # a small source still shows in the validation loss
        mine = np.flatnonzero(codes == code)
        if len(mine) > 1:
            validates[mine[np.argmin(draw[mine])]] = True
            if validates[mine].all():
                validates[mine[np.argmax(draw[mine])]] = False
    return validates


def _copies(rates: NDArray[np.float64], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    whole = np.floor(rates)
    extra = mix(hashes ^ mix(_DRAW)) / 2.0**64 < rates - whole
    return (whole + extra).astype(np.int64)


def _order(hashes: NDArray[np.uint64], repeat: NDArray) -> NDArray[np.int64]:
    return np.argsort(mix(mix(hashes ^ mix(_ORDER)) ^ repeat.astype(np.uint64)), kind="stable")


def _groups(names: list[str], together: tuple[str, ...]) -> NDArray[np.int64]:
    """Per source the place of its group in the tokens: first all others, then each source kept together."""
    if unknown := sorted(set(together) - set(names)):
        raise KajiyaError(
            f"tokenize.keep_together names {', '.join(unknown)}, which the corpus does not hold. It holds "
            f"{', '.join(sorted(names))}."
        )
    return np.array([together.index(name) + 1 if name in together else 0 for name in names])


def _reasons(left_out: int) -> Counter[str]:
    return Counter({"mixture": left_out} if left_out else {})
