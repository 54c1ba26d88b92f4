"""Wikitext to text: our extraction beside the libraries a user could pick, on the same pages.

    python -m benchmarks.wikitext [DUMP.xml.bz2 ...]

Without arguments: the dumps in $KAJIYA_SHARED_DATA/wikipedia, and the sample's Japanese one. Seconds are
CPU seconds of one process. MB are 10^6 bytes of XML, and only articles count: no tool is given redirects.
Prints a table and writes benchmarks/results/wikitext.json.
"""

import bz2
import datetime
import importlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.wikitext_quality import count_defects, kept_share, lost_pieces
from components.crawl.dump_xml import Page, pages_of, parse_site, split_pages
from components.crawl.harvest import Harvest
from components.crawl.wikipedia import Article, read_rows, rejection, write_rows
from components.crawl.wikitext import extract_text
from kajiya.sample.settings import SampleSettings
from kajiya.sample.world import write_world

RESULTS = Path(__file__).parent / "results" / "wikitext.json"
COMMAND = "NUMBA_NUM_THREADS=1 POLARS_MAX_THREADS=1 OMP_NUM_THREADS=1 python -m benchmarks.wikitext"
_MIN_BYTES = 5_000_000  # a small dump is read several times
REPEATS = 3  # of our own, the best counts: others work on this machine too


def main() -> None:
    results = [measure(name, xml, language) for name, xml, language in _dumps(sys.argv[1:])]
    for result in results:
        _show(result)
    RESULTS.parent.mkdir(exist_ok=True)
    record = {
        "command": COMMAND,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "dumps": results,
    }
    RESULTS.write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n")


def _dumps(arguments: list[str]) -> list[tuple[str, bytes, str]]:
    paths = [Path(argument) for argument in arguments]
    shared = os.environ.get("KAJIYA_SHARED_DATA")
    if not paths and shared:
        paths = sorted(Path(shared, "wikipedia").glob("*.bz2"))
    dumps = [(path.name, bz2.decompress(path.read_bytes()), path.name[:2]) for path in paths]
    if not arguments:
        with tempfile.TemporaryDirectory() as folder:
            write_world(SampleSettings(scale=0.2), Path(folder))
            path = next(Path(folder).rglob("*-pages-articles.xml.bz2"))
            dumps.append(("sample jawiki", bz2.decompress(path.read_bytes()), "ja"))
    return dumps


def measure(name: str, xml: bytes, language: str) -> dict[str, Any]:
    """One dump through every tool."""
    site = parse_site(xml[: 1 << 16], language, Path(name))
    sources, _ = split_pages(xml)
    articles = [
        (page, len(source))
        for source in sources
        for page in pages_of([source], Path(name))
        if rejection(page)[0] is None
    ]
    pages, size = [page for page, _ in articles], sum(length for _, length in articles)
    pieces = [lost_pieces(page.wikitext) for page in pages]
    tools = _tools(lambda text: extract_text(text, site.hidden_namespaces, language))
    return {
        "dump": name,
        "xml_megabytes": round(len(xml) / 1e6, 2),
        "articles": len(pages),
        "article_megabytes": round(size / 1e6, 2),
        "whole_path_mb_per_s": round(max(_whole_path(xml, name, language) for _ in range(REPEATS)), 1),
        "tools": [_measure_tool(tool, extract, pages, size, pieces) for tool, extract in tools.items()],
    }


def _tools(ours: Callable[[str], str]) -> dict[str, Callable[[str], str]]:
    tools = {"kajiya": ours}
    for module, function in (
        ("mwparserfromhell", lambda library: lambda text: library.parse(text).strip_code()),
        # GPL v3: measured where somebody has installed it, never a dependency.
        ("wikitextparser", lambda library: library.remove_markup),
    ):
        try:
            library = importlib.import_module(module)
        except ImportError:
            print(f"{module}: not installed, left out", file=sys.stderr)
            continue
        tools[module] = function(library)
    return tools


def _measure_tool(
    tool: str, extract: Callable[[str], str], pages: list[Page], size: int, pieces: list[dict[str, list[str]]]
) -> dict[str, Any]:
    best, texts = float("inf"), []
    for _ in range(REPEATS if tool == "kajiya" else 1):
        begin = time.process_time()
        texts = [extract(page.wikitext) for page in pages]
        best = min(best, time.process_time() - begin)
    defects: Counter[str] = Counter()
    for text, page in zip(texts, pages, strict=True):
        defects.update(count_defects(text, page.wikitext))
    per_thousand = {
        kind: round(1000 * count / len(pages), 1) for kind, count in sorted(defects.items()) if count
    }
    return {
        "tool": tool,
        "mb_per_s": round(size / 1e6 / best, 2),
        "defects_per_1000_pages": round(1000 * defects.total() / len(pages), 1),
        "defects": per_thousand,
        **{
            f"{kind}_kept": kept_share(texts, [one[kind] for one in pieces])
            for kind in ("bullets", "sentences")
        },
        "characters": sum(map(len, texts)),
    }


def _whole_path(xml: bytes, name: str, language: str) -> float:
    """MB of XML per CPU second from unpacked XML to Parquet, through the worker's file, as the stage does it."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        harvest = Harvest("bench", Path(folder))
        article = Article(parse_site(xml[: 1 << 16], language, Path(name)), language, "CC-BY-SA-4.0")
        copies = 1 + int(_MIN_BYTES / len(xml))
        for copy in range(copies):
            sources, _ = split_pages(xml)
            part = Path(folder, f"{copy}.rows")
            write_rows(map(article.row, pages_of(sources, Path(name))), part)
            for row in read_rows(part):
                harvest.add(*row)
        harvest.report()
        return copies * len(xml) / 1e6 / (time.process_time() - begin)


def _show(result: dict[str, Any]) -> None:
    print(
        f"\n{result['dump']}: {result['xml_megabytes']} MB of XML, {result['articles']} articles; "
        f"XML to Parquet {result['whole_path_mb_per_s']} MB/s/core"
    )
    print(
        f"{'tool':<18}{'MB/s/core':>10}{'defects/1000':>14}{'bullets':>9}{'sentences':>11}{'characters':>12}"
    )
    for tool in result["tools"]:
        print(
            f"{tool['tool']:<18}{tool['mb_per_s']:>10}{tool['defects_per_1000_pages']:>14}{tool['bullets_kept']!s:>9}"
            f"{tool['sentences_kept']!s:>11}{tool['characters']:>12}"
        )
        print("    " + ", ".join(f"{kind} {count}" for kind, count in tool["defects"].items()))


if __name__ == "__main__":
    main()
