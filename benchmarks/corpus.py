"""The corpus stages beside what a user would pick instead, on the same text: `make bench-corpus`.

    python -m benchmarks.corpus [--only WORK ...] [--rounds N] [--megabytes N] [--without-peers] [--out FILE]
    python -m benchmarks.corpus --table

Contenders are processes that take turns, one core each; the best turn of each side counts, in CPU
seconds of the process and its children. Loading, compiling and a first small run come before. Only two
processes against one are compared in wall seconds, which need a quiet machine.

Writes benchmarks/results/corpus.json and from it the tables of docs/performance.md. `--only` measures
anew what it names and leaves the other rows as they are.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.comparison import Bench, Row
from benchmarks.inputs import ROOT, open_inputs
from benchmarks.tables import all_tables, write_tables
from benchmarks.works import WORKS
from kajiya.shards import write_file

RESULTS = ROOT / "benchmarks" / "results" / "corpus.json"
DOCUMENT = ROOT / "docs" / "performance.md"


def main(argv: list[str] | None = None) -> None:
    options = _options(argv)
    if options.table:
        print(all_tables(json.loads(options.out.read_text(encoding="utf-8"))))
        return
    bench = Bench(open_inputs(options.work, options.megabytes), options)
    names = options.only or [*WORKS, "two-processes"]
    rows: list[Row] = []
    if options.out.exists():  # rows that are not reached, or not asked for, stay as they are
        rows = json.loads(options.out.read_text(encoding="utf-8"))["rows"]
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        new = bench.two_processes() if name == "two-processes" else bench.one_core(WORKS[name](bench.inputs))
        rows = [row for row in rows if row["name"] != name] + new
        _save(rows, options.out)
    print(all_tables(json.loads(options.out.read_text(encoding="utf-8"))))
    if failed := [f"{row['work']}: {row['reason']}" for row in rows if row["ours"] is None]:
        sys.exit("error: " + "\n".join(failed))


def _save(rows: Iterable[Row], out: Path) -> None:
    order = [*WORKS, "two-processes"]
    rows = sorted(rows, key=lambda row: order.index(row["name"]))
    results = {"machine": _machine(), "rows": rows}
    write_file(out, json.dumps(results, ensure_ascii=False, indent=2) + "\n")
    if out == RESULTS:
        write_tables(results, DOCUMENT)


def _machine() -> dict[str, Any]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=[*WORKS, "two-processes"], metavar="WORK")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender (default 3)")
    parser.add_argument("--megabytes", type=float, default=70, help="text, 10^6 bytes of UTF-8 (default 70)")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--peers", default=str(ROOT / ".venv-bench/bin/python"), help="the peers' Python")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmark", help="inputs and outputs")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the tables of the results there are")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
