"""Peak memory and CPU time of dedupe for corpora of three sizes: `python -m benchmarks.dedupe_memory`.

The stage runs as a process of its own; memory is the sum over it and its workers, sampled from /proc
every 50 ms. CPU seconds are those of the whole tree: other work on the machine disturbs them little.
"""

import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.recombined import sentences, write_corpus

SIZES_MB = (100, 400, 1600)
SHARD_MB = 50  # so that the smallest corpus keeps both workers busy
MEMORY_MB = 1100
WORKERS = 2
RESULT = Path(__file__).parent / "results" / "dedupe_memory.json"


def measure(clean: Path, out: Path, params: Path) -> dict[str, float]:
    """Run the stage once."""
    environment = os.environ | {"KAJIYA_MEMORY_MB": str(MEMORY_MB), "KAJIYA_WORKERS": str(WORKERS)}
    command = [sys.executable, "-m", "components.dedupe", "--params", str(params), str(clean), str(out)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    peak = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        peak = max(peak, sum(_resident(pid) for pid in _tree(process.pid)))
        time.sleep(0.05)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return {"peak_mb": round(peak / 1e6), "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2)}


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:  # it has just ended
        return []
    return [pid, *(one for child in children for one in _tree(int(child)))]


def _resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    pool, origin = sentences()
    rows = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        params = folder / "params.yaml"
        params.write_text("dedupe: {priority: [web], boilerplate: {sources: [web], max_documents: 10000}}\n")
        write_corpus(folder / "warm" / "web", 1_000_000, 500_000, pool)
        measure(folder / "warm", folder / "out", params)  # compiles the kernels
        for size in SIZES_MB:
            documents = write_corpus(folder / "clean" / "web", size * 1_000_000, SHARD_MB * 1_000_000, pool)
            row = {"text_mb": size, "documents": documents} | measure(
                folder / "clean", folder / "out", params
            )
            flow = json.loads((folder / "out.report.json").read_text())["flows"]["web"]
            row |= {"cpu_seconds_per_mb": round(row["cpu_seconds"] / size, 4), **flow["rejected"]}
            rows.append(row)
            print(row, flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    result = {
        "work": "dedupe, Parquet to Parquet",
        "text": f"recombined sentences of {origin}",
        "budget_mb": MEMORY_MB,
        "workers": WORKERS,
        "shard_mb": SHARD_MB,
        "rows": rows,
        "command": "python -m benchmarks.dedupe_memory",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    RESULT.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    main()
