"""One worker against two on a stage bound by the processor: `python -m benchmarks.scaling [MEGABYTES]`.

Cleans real Japanese text (../shared/data or KAJIYA_SHARED_DATA; without it the sample's pages over and
over) with KAJIYA_WORKERS=1 and then 2, three turns each, and prints the best wall seconds and their
ratio. Each run starts anew, so the seconds hold what starting costs. Wall time means something on a
machine with two idle cores only.
"""

import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kajiya.shards import ShardWriter

ROOT = Path(__file__).parents[1]
SHARDS = 8
TURNS = 3
MEGABYTE = 10**6


def main(megabytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = _write_corpus(folder / "crawl" / "web", megabytes * MEGABYTE)
        (folder / "params.yaml").write_text("clean: {web: {rules: web-ja}}\n", encoding="utf-8")
        turns = [(_clean(folder, 1), _clean(folder, 2)) for _ in range(TURNS)]
    one, two = (min(seconds) for seconds in zip(*turns, strict=True))
    print(
        f"clean, {written / MEGABYTE:.0f} MB of UTF-8 in shards of {megabytes / SHARDS:.0f}: one worker {one:.1f} s, two {two:.1f} s: "
        f"{one / two:.2f} x ({len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f})"
    )


def _write_corpus(folder: Path, wanted_bytes: int) -> int:
    """Documents up to `wanted_bytes` of UTF-8, in SHARDS shards or a few more; returns the bytes."""
    writer, written = ShardWriter(folder, shard_bytes=wanted_bytes // SHARDS), 0
    for number, text in enumerate(itertools.cycle(_texts())):
        if written >= wanted_bytes:
            break
        record = {"id": f"web:{number}", "source": "web", "text": text, "license": "CC0-1.0"}
        writer.add(record | {"generator": "human", "language": "ja"})
        written += len(text.encode())
    writer.close()
    return written


def _texts() -> Iterator[str]:
    shared = Path(os.environ.get("KAJIYA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    files = sorted((shared / "text").glob("ja*.jsonl.gz"))
    if not files:
        files = sorted((_sample() / "c4").rglob("*.json.gz"))
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def _sample() -> Path:
    folder = Path(tempfile.mkdtemp()) / "sample"
    subprocess.run([sys.executable, "-m", "components.sample", folder], cwd=ROOT, check=True)
    return folder


def _clean(folder: Path, workers: int) -> float:
    """Wall seconds of the stage, as its own record tells them."""
    environment = {"KAJIYA_WORKERS": str(workers), "NUMBA_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "components.clean", "crawl/web", ROOT / "exclusions.yaml", "clean/web"],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    seconds: float = json.loads((folder / "clean" / "web.run.json").read_text(encoding="utf-8"))["seconds"]
    return seconds


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
