"""CPU speed of dedupe and of its parts on one core: `python -m benchmarks.dedupe_speed`.

The best of several runs, in MB (10^6 bytes of UTF-8) a second of CPU time. Beside it what bounds the
whole, measured in the same minute: reading the shards three times and writing them once.
"""

import datetime
import gzip
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from benchmarks.recombined import sentences, write_corpus
from components.dedupe import DedupeSettings, run
from components.dedupe.minhash import band_keys, choose_bands, signatures
from components.dedupe.stream import BatchWriter, read_batches
from kajiya.ngrams import WITHOUT_SPACE, decode
from kajiya.records import DOCUMENT
from kajiya.shards import list_shards, write_dataset

REPEATS = 5
RESULT = Path(__file__).parent / "results" / "dedupe_speed.json"
_REAL = {"aozora": "aozora.jsonl.gz", "diet": "diet_fragments.jsonl.gz", "jaquad": "jaquad_contexts.jsonl.gz"}


def seconds(work: Callable[[], object]) -> float:
    """CPU time of the fastest run; one goes before that is not counted."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def write_sources(folder: Path) -> str:
    """Real documents as they came where they are there, else recombined ones."""
    data = Path(os.environ.get("KAJIYA_SHARED_DATA", "../shared/data")) / "text"
    if not data.is_dir():
        pool, origin = sentences()
        write_corpus(folder / "web", 80_000_000, 80_000_000, pool)
        return f"recombined sentences of {origin}"
    same = {"license": "", "generator": "human", "language": "ja"}
    for source, name in _REAL.items():
        with gzip.open(data / name, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        rows = (
            {"id": f"{source}:{i}", "source": source, "text": t, **same} for i, t in enumerate(texts) if t
        )
        write_dataset(rows, folder / source)
    return ", ".join(_REAL)


def measure(clean: Path, out: Path) -> dict[str, float]:
    """Seconds of CPU by work, and the megabytes of text."""
    config = DedupeSettings(priority=tuple(sorted(path.name for path in clean.iterdir())))
    shards = [shard for source in config.priority for shard in list_shards(clean / source)]
    tables = [table for shard in shards for table in read_batches(shard)]
    columns = [table["text"].combine_chunks() for table in tables]
    points = [decode(column, WITHOUT_SPACE) for column in columns]
    bands = choose_bands(config.permutations, config.threshold)

    def sign(texts: list) -> None:
        for one in texts:
            band_keys(signatures(one, config.ngram_chars, config.permutations), bands)

    def write() -> None:
        with BatchWriter(out.with_suffix(".parquet"), DOCUMENT) as writer:
            for table in tables:
                writer.add(table)

    def whole() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        run(config, clean, out=out)

    def read() -> list[pa.Table]:
        return [table for shard in shards for table in read_batches(shard, ["id", "text"])]

    return {
        "megabytes": sum(len(text.as_buffer()) for column in columns for text in column) / 1e6,
        "MinHash signatures and bands, from UTF-8": seconds(
            lambda: sign([decode(column, WITHOUT_SPACE) for column in columns])
        ),
        "MinHash signatures and bands, from code points": seconds(lambda: sign(points)),
        "read Parquet once": seconds(read),
        "write Parquet once": seconds(write),
        "dedupe, Parquet to Parquet": seconds(whole),
    }


def main() -> None:
    os.environ["KAJIYA_WORKERS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = write_sources(folder / "clean")
        found = measure(folder / "clean", folder / "out")
    megabytes = found.pop("megabytes")
    rows = [{"work": work, "mb_per_cpu_second": round(megabytes / took, 1)} for work, took in found.items()]
    for row in rows:
        print(f"{row['mb_per_cpu_second']:8.1f}  {row['work']}")
    result = {
        "text": text,
        "megabytes": round(megabytes, 1),
        "rows": rows,
        "command": "python -m benchmarks.dedupe_speed",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    main()
