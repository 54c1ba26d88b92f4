"""mC4 shards from the Hugging Face hub: gzip of JSON Lines, pinned by commit."""

from pathlib import Path

from components.crawl.download import download
from components.crawl.harvest import Harvest, Place, document, parse_date
from components.crawl.json_lines import read_json_lines
from components.crawl.settings import C4Settings
from kajiya.errors import KajiyaError


def crawl_c4(config: C4Settings, place: Place, harvest: Harvest) -> None:
    """Every line of the shards asked for, as a document `<shard>:<line from 0>`."""
    with place.connect(config.base_url) as client:
        for shard in range(config.from_shard, config.until_shard + 1):
            name = shard_name(config, shard)
            path = f"datasets/allenai/c4/resolve/{config.revision}/multilingual/{name}"
            fetched = download(client, path, place.work / name)
            harvest.read(name, fetched.sha256, fetched.bytes)
            _read_shard(config, shard, fetched.path, harvest)


def shard_name(config: C4Settings, shard: int) -> str:
    return f"c4-{config.config}.tfrecord-{shard:05d}-of-{config.shard_count:05d}.json.gz"


def _read_shard(config: C4Settings, shard: int, path: Path, harvest: Harvest) -> None:
    for number, record in read_json_lines(path):
        where = f"{path.name}: line {number + 1}"
        if record is None or not isinstance(record.get("text"), str):
            raise KajiyaError(f"{where}: no `text`: not a C4 record. Check revision, config and base_url.")
        harvest.add(
            document(
                f"{shard}:{number}",
                record["text"],
                url=record.get("url"),
                date=parse_date(record.get("timestamp"), where),
                license=config.license,
                generator="human",
                language=config.config,
            )
        )
