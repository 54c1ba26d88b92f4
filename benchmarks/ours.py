"""Our side of every comparison; `python -m benchmarks.ours NAME OPTIONS` is a contender."""

import bz2
import typing
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from benchmarks.contender import Ready, serve
from kajiya.shards import list_shards, read_shard, shard_path, write_shard
from kajiya.stage import execute


def prepare_stage(
    stage: str, settings: dict[str, Any], inputs: list[str], small: list[str], out: str
) -> Ready:
    """A stage as the pipeline runs it, its output published; `small` are inputs to warm up with."""
    run = import_module(f"components.{stage}").run
    config = TypeAdapter(typing.get_type_hints(run, include_extras=True)["config"]).validate_python(settings)

    def work(paths: list[str] = inputs) -> dict[str, Any]:
        report = execute(run, config, [Path(path) for path in paths], Path(out))
        flows = report.flows.values()
        return {
            "documents": sum(flow.came_in for flow in flows),
            "rejected": sum(flow.rejected.total() for flow in flows),
        }

    work(small)
    size = sum(_text_bytes(_texts(shard)) for shard in sorted(Path(inputs[0]).rglob("part-*.parquet")))
    return Ready(work, size, f"{stage}: {settings}")


def prepare_signatures(folder: str, decoded: bool = False) -> Ready:
    """The kernel over texts in memory, in the batches that the stage reads.

    decoded: beginning with code points without white space, as `decode` leaves them, not with UTF-8.
    """
    from components.dedupe.minhash import signatures  # noqa: PLC0415 - one contender, one import
    from components.dedupe.stream import read_batches  # noqa: PLC0415
    from kajiya.ngrams import WITHOUT_SPACE, decode  # noqa: PLC0415

    shards = list_shards(Path(folder))
    texts = [table["text"].combine_chunks() for shard in shards for table in read_batches(shard, ["text"])]
    points = [decode(part, WITHOUT_SPACE) for part in texts] if decoded else []

    def work() -> dict[str, Any]:
        parts = iter(points) if decoded else (decode(part, WITHOUT_SPACE) for part in texts)
        return {"documents": sum(len(signatures(part, 5, 128)) for part in parts), "permutations": 128}

    work()
    start = "code points" if decoded else "UTF-8"
    return Ready(
        work, sum(map(_text_bytes, texts)), f"128 permutations over all character 5-grams, from {start}"
    )


def prepare_wikipedia(dump: str, language: str, out: str) -> Ready:
    """From the XML of a dump, unpacked in memory, to Documents in Parquet."""
    from components.crawl.dump_xml import pages_of, parse_site, split_pages  # noqa: PLC0415
    from components.crawl.harvest import Harvest  # noqa: PLC0415
    from components.crawl.wikipedia import Article  # noqa: PLC0415

    path = Path(dump)
    xml = bz2.decompress(path.read_bytes())

    def work() -> dict[str, Any]:
        harvest = Harvest("benchmark", Path(out))
        article = Article(parse_site(xml[: 1 << 16], language, path), language, "CC-BY-SA-4.0")
        sources, _ = split_pages(xml)
        for row in map(article.row, pages_of(sources, path)):
            harvest.add(*row)
        flow = harvest.report().flows["benchmark"]
        return {"documents": flow.came_in, "rejected": flow.rejected.total()}

    work()
    return Ready(work, len(xml), "components.crawl: pages, wikitext to text, Documents to Parquet")


def prepare_parquet(folder: str, out: str) -> Ready:
    """What reading and writing shards takes by itself: no stage can be faster."""

    def work() -> dict[str, Any]:
        shards = list_shards(Path(folder))
        for index, shard in enumerate(shards):
            write_shard(read_shard(shard), shard_path(Path(out), index))
        return {"shards": len(shards)}

    work()
    size = sum(_text_bytes(_texts(shard)) for shard in list_shards(Path(folder)))
    return Ready(work, size, "kajiya.shards: read_shard, write_shard (zstd, level 3, fsync)")


def prepare_loop() -> Ready:
    """Arithmetic that touches no memory: what a second process can be worth on this machine."""

    def work() -> dict[str, Any]:
        return {"sum": sum(i * i for i in range(20_000_000))}

    return Ready(work, 0, "sum of squares in plain Python")


def _texts(shard: Path) -> pa.ChunkedArray:
    return read_shard(shard)["text"]


def _text_bytes(texts: pa.Array | pa.ChunkedArray) -> int:
    return pc.sum(pc.binary_length(texts)).as_py() or 0


PREPARE: dict[str, Callable[..., Ready]] = {
    "stage": prepare_stage,
    "signatures": prepare_signatures,
    "wikipedia": prepare_wikipedia,
    "parquet": prepare_parquet,
    "loop": prepare_loop,
}

if __name__ == "__main__":
    serve(PREPARE)
