"""Crawl from servers that fail at random, and compare with what they hold: `python tests/hostile.py --requests 5000`.

Each round serves a small world, crawls every source that speaks HTTP through injected failures, and
runs again what gave up, as a person would. The documents must be exactly those of a calm crawl.
"""

import argparse
import gzip
import hashlib
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from crawl_world import C4, DIET, FILES, REVISION, meeting, output_bytes, page, settings, wikipedia_files

from components.crawl import run
from kajiya.errors import KajiyaError
from kajiya.sample.faults import FAULT_KINDS, Faults
from kajiya.sample.server import serve
from kajiya.stage import execute

# A mirror without checksums cannot tell that a whole other version came; there only these are fair.
WITHOUT_CHECKSUMS = tuple(
    kind for kind in FAULT_KINDS if kind not in ("stale", "truncate", "unmeasured", "overlong")
)
WIKIPEDIA = {"connector": "wikipedia", "wiki": "jawiki", "date": "20260101"}


def write_world(root: Path) -> dict[str, tuple[dict, tuple[str, ...]]]:
    """Files of every source below `root`; their settings without base_url, and the fair failures."""
    lines = [json.dumps({"text": f"文書{n}。" * 30, "timestamp": "2019-04-21T10:00:00Z"}) for n in range(240)]
    shards = ["\n".join(lines[n::8]) + "\n" for n in range(8)]
    bodies = {
        f"c4-ja.tfrecord-{n:05}-of-00008.json.gz": gzip.compress(s.encode(), mtime=0)
        for n, s in enumerate(shards)
    }
    hub = f"datasets/allenai/c4/resolve/{REVISION}/multilingual"
    files = {f"{folder}/{name}": body for name, body in bodies.items() for folder in (hub, "plain")}
    pages = [page(n, f"題{n}", f"題{n}は町である。" * 20) for n in range(1, 40)]
    files |= {name.lstrip("/"): body for name, body in wikipedia_files(pages).items()}
    meetings = [meeting(n, f"2025-{n % 3 + 1:02}-{n % 28 + 1:02}") for n in range(240)]
    files["meetings.json"] = json.dumps({"meetingRecord": meetings}).encode()
    for name, body in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    c4 = {**C4, "shard_count": 8, "until_shard": 7}
    address = {f"URL/plain/{name}": hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
    told = {name.replace("json.gz", "jsonl.gz"): digest for name, digest in address.items()}
    for name, body in bodies.items():
        (root / "plain" / name.replace("json.gz", "jsonl.gz")).write_bytes(body)
    return {
        "wikipedia": (WIKIPEDIA, FAULT_KINDS),
        "c4": (c4, FAULT_KINDS),
        "c4-mirror": ({**c4, "folder": "plain"}, WITHOUT_CHECKSUMS),
        "diet": (DIET, FAULT_KINDS),
        "files": ({**FILES, "paths": [], "urls": told}, FAULT_KINDS),
    }


def crawl_until_done(values: dict, world: Path, out: Path, faults: Faults) -> int:
    """Errors met before the crawl came to its end; each must be one that a person can read."""
    errors = 0
    with serve(world, faults=faults) as url:
        values = {**values, "base_url": url}
        if "urls" in values:
            values = {
                **values,
                "urls": {name.replace("URL", url): digest for name, digest in values["urls"].items()},
            }
            del values["base_url"]
        while True:
            try:
                execute(run, settings(values), [out.parent], out)
            except KajiyaError as error:
                errors += 1
                if errors > 50:
                    raise AssertionError(f"{out.name} does not come to its end: {error}") from error
            else:
                return errors


def compare(seed: int, rate: float, world: Path, sources: dict, calm: dict) -> tuple[Counter, int]:
    """One round over every source. Returns what was injected and the errors met."""
    counts, errors = Counter(), 0
    for place, (name, (values, kinds)) in enumerate(sources.items()):
        with tempfile.TemporaryDirectory() as folder:
            faults = Faults(
                seed * 1000 + place, rate, kinds, limit=10**9, retry_after_seconds=0, slow_seconds=0.001
            )
            (Path(folder) / "in").mkdir()
            errors += crawl_until_done(values, world, Path(folder) / "in" / name, faults)
            assert output_bytes(Path(folder) / "in" / name) == calm[name], (
                f"{name}, seed {seed}: other documents"
            )
        counts.update(faults.counts)
    return counts, errors


def calm_outputs(world: Path, folder: Path, sources: dict) -> dict[str, dict[str, bytes]]:
    for name, (values, _) in sources.items():
        crawl_until_done(values, world, folder / "calm" / name, Faults(0, rate=0))
    return {name: output_bytes(folder / "calm" / name) for name in sources}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000, help="go on until so many were asked")
    parser.add_argument("--rate", type=float, default=0.5, help="share of the requests that fail")
    arguments = parser.parse_args()
    os.environ |= {"KAJIYA_HTTP_WAIT_SECONDS": "0", "KAJIYA_WORKERS": "1", "TQDM_DISABLE": "1"}
    total, errors, seed = Counter(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        sources = write_world(world)
        (Path(folder) / "calm").mkdir()
        calm = calm_outputs(world, Path(folder), sources)
        while total["requests"] < arguments.requests:
            seed += 1
            counts, met = compare(seed, arguments.rate, world, sources, calm)
            total, errors = total + counts, errors + met
    injected = total.total() - total["requests"]
    print(
        f"{seed} rounds, {total['requests']} requests, {injected} failures injected: {dict(sorted(total.items()))}"
    )
    print(
        f"{errors} crawls ended in a clear error and were run again; every output was that of a calm crawl."
    )


if __name__ == "__main__":
    main()
