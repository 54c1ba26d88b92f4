"""Make the sample world: a few MB of our own text in the formats of the real sources.

OUT holds a Wikipedia dump site, C4 shards, the records of the Diet API, English files, tuning data,
evaluation sets, and `answer_key.jsonl`, which lists every planted defect. All of it is drawn from
`seed` and `scale`. docs/formats.md describes the folders; `kajiya sample` also serves them.
"""

from pathlib import Path

from kajiya.report import Report
from kajiya.sample.settings import SampleSettings
from kajiya.sample.world import write_world


def run(config: SampleSettings, *, out: Path) -> Report:
    """Write the sample world below `out`."""
    return write_world(config, out)
