"""How likely dedupe takes two texts for copies, by their Jaccard similarity: `python -m benchmarks.dedupe_curve`.

Pairs are windows of one text, moved against each other until they share as many n-grams as wanted;
their exact similarity is counted. Signatures, bands, verification and the choice of who goes are the
stage's own. Beside it the theory, 1 - (1 - J^rows)^bands, and what verification makes of it: a step.
"""

import datetime
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.recombined import sentences
from components.dedupe import DedupeSettings, run
from components.dedupe.minhash import band_keys, choose_bands, signatures
from kajiya.line_chart import line_chart
from kajiya.ngrams import WITHOUT_SPACE, decode
from kajiya.records import DOCUMENT
from kajiya.shards import read_dataset, shard_path, write_shard

CHARS = 600
PAIRS = 1000
WANTED = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.78, 0.82, 0.85, 0.9, 0.95)
RESULT = Path(__file__).parent / "results" / "dedupe_curve.json"
PICTURE = Path(__file__).parents[1] / "docs" / "dedupe_curve.svg"
# The chart's own colours, on a ground of its own: the picture stands alone in the documentation.
_STYLE = (
    "<style>text{font:12px sans-serif;fill:#222}.grid{stroke:#ddd}</style>"
    '<rect width="100%" height="100%" fill="#fff"/>'
)


def windows(generator: np.random.Generator, pool: list[str], jaccard: float, n: int) -> tuple[str, str]:
    """Two texts of CHARS characters whose n-gram sets have about this similarity."""
    shift = round((CHARS - n + 1) * (1 - jaccard) / (1 + jaccard))
    text = ""
    while len(text) < CHARS + shift:
        text += "".join(pool[generator.integers(len(pool))].split())
    return text[:CHARS], text[shift : shift + CHARS]


def exact(a: str, b: str, n: int) -> float:
    x, y = ({t[i : i + n] for i in range(len(t) - n + 1)} for t in (a, b))
    return len(x & y) / len(x | y)


def candidates(pairs: list[tuple[str, str]], config: DedupeSettings) -> np.ndarray:
    """Per pair whether some band is equal."""
    texts = pa.array([text for pair in pairs for text in pair], pa.large_string())
    minima = signatures(decode(texts, WITHOUT_SPACE), config.ngram_chars, config.permutations)
    keys = band_keys(minima, choose_bands(config.permutations, config.threshold))
    return (keys[::2] == keys[1::2]).any(axis=1)


def merged(pairs: list[tuple[str, str]], config: DedupeSettings) -> np.ndarray:
    """Per pair whether the whole stage takes one text for a copy of the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            {
                "id": f"web:{i}{side}",
                "source": "web",
                "text": text,
                "license": "",
                "generator": "",
                "language": "",
            }
            for i, pair in enumerate(pairs)
            for side, text in zip("ab", pair, strict=True)
        ]
        write_shard(pa.Table.from_pylist(rows, DOCUMENT), shard_path(folder / "clean" / "web", 0))
        (folder / "out").mkdir()
        run(config, folder / "clean", out=folder / "out")
        stay = {one for table in read_dataset(folder / "out") for one in table["id"].to_pylist()}
    return np.array([f"web:{i}a" not in stay or f"web:{i}b" not in stay for i in range(len(pairs))])


def main() -> None:
    config = DedupeSettings(priority=("web",))
    bands = choose_bands(config.permutations, config.threshold)
    pool, origin = sentences()
    generator = np.random.default_rng(7)
    rows = []
    for wanted in WANTED:
        pairs = [windows(generator, pool, wanted, config.ngram_chars) for _ in range(PAIRS)]
        similar = np.array([exact(*pair, config.ngram_chars) for pair in pairs])
        rows.append(
            {
                "jaccard": round(float(similar.mean()), 4),
                "candidates": float(candidates(pairs, config).mean()),
                "theory": round(float(np.mean([bands.candidate_probability(one) for one in similar])), 4),
                "merged": float(merged(pairs, config).mean()),
            }
        )
        print(rows[-1], flush=True)
    steps = np.linspace(0.3, 1, 141)
    chart = line_chart(
        {
            "theory": [(x, bands.candidate_probability(x)) for x in steps],
            "measured: share a band": [(row["jaccard"], row["candidates"]) for row in rows],
            "measured: merged": [(row["jaccard"], row["merged"]) for row in rows],
        },
        "Jaccard similarity",
        "probability",
    )
    head, rest = chart.split(">", 1)
    PICTURE.write_text(f'{head} xmlns="http://www.w3.org/2000/svg">{_STYLE}{rest}\n')
    result = {
        "text": f"windows of recombined sentences of {origin}",
        "pairs_at_each_similarity": PAIRS,
        "chars": CHARS,
        "bands": bands._asdict(),
        "rows": rows,
        "command": "python -m benchmarks.dedupe_curve",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    main()
