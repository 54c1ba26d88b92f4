"""Peak memory of reading a Wikipedia dump, against its size: the real dump repeated.

    python -m benchmarks.wikipedia_memory DUMP.xml.bz2

Read once by the index's offsets and once as one stream, each in a process of its own with one worker;
shards of 8 MB, so that the writer's buffer is full from the smallest size on.
"""

import bz2
import multiprocessing
import resource
import sys
import tempfile
from pathlib import Path

from components.crawl.dump import plan_parts, read_pages
from components.crawl.dump_xml import Site, split_pages
from components.crawl.wikipedia import PART_BYTES, Article, _rows_of_parts
from kajiya.shards import write_dataset

COPIES = (4, 12, 36)
SHARD_BYTES = 8 << 20
PAGES_PER_STREAM = 100


def main() -> None:
    pages, _ = split_pages(bz2.decompress(Path(sys.argv[1]).read_bytes()))
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for copies in COPIES:
            dump, index = Path(folder, f"{copies}.xml.bz2"), Path(folder, f"{copies}.txt.bz2")
            write_dump(dump, index, pages, copies)
            for form in ("parts", "stream"):
                with context.Pool(1) as pool:
                    peak = pool.apply(read, (form, dump, index, Path(folder, f"{form}-{copies}")))
                size = copies * sum(map(len, pages)) / 1e6
                print(f"{form:<7} {size:8.0f} MB of XML   peak {peak / 1e6:6.0f} MB", flush=True)


def write_dump(dump: Path, index: Path, pages: list[bytes], copies: int) -> None:
    """The same streams again and again: ids repeat, which reading does not mind."""
    groups = [pages[begin : begin + PAGES_PER_STREAM] for begin in range(0, len(pages), PAGES_PER_STREAM)]
    streams = [(bz2.compress(b"".join(group)), len(group)) for group in groups]
    lines = []
    with open(dump, "wb") as handle:
        handle.write(bz2.compress(b"<mediawiki>"))
        for stream, count in streams * copies:
            lines.append(f"{handle.tell()}:1:x\n" * count)
            handle.write(stream)
        handle.write(bz2.compress(b"</mediawiki>"))
    index.write_bytes(bz2.compress("".join(lines).encode()))


def read(form: str, dump: Path, index: Path, out: Path) -> int:
    """Bytes at the peak."""
    article = Article(Site("https://en.wikipedia.org/wiki/"), "en", "CC-BY-SA-4.0")
    if form == "parts":
        rows = _rows_of_parts(article, plan_parts(dump, index, PART_BYTES), out / "parts", "read")
    else:
        rows = map(article.row, read_pages(dump))
    write_dataset(
        ({**row, "source": "bench"} for row, reason, _ in rows if not reason), out, shard_bytes=SHARD_BYTES
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
