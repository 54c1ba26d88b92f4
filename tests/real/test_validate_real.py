"""The suite over texts that people wrote: no false alarm, and a true one."""

import gzip
import json
import os
import re
from pathlib import Path

import pytest

from components.validate import ValidateSettings, run
from kajiya.errors import KajiyaError
from kajiya.shards import write_dataset
from kajiya.stage import execute

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA} (set KAJIYA_SHARED_DATA)")

LICENSES = {
    "aozora": "public-domain",
    "diet_full_speeches": "ndl-terms",
    "diet_fragments": "ndl-terms",
    "ja_vue_docs": "CC-BY-4.0",
    "jsquad_contexts": "CC-BY-SA-4.0",
    "en_classic_books": "public-domain",
}


def documents(limit: int = 800):
    for name, license_name in LICENSES.items():
        with gzip.open(DATA / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for number, line in zip(range(limit), lines, strict=False):
                yield {
                    "id": f"{name}:{number}",
                    "source": name,
                    "text": json.loads(line)["text"],
                    "license": license_name,
                    "generator": "human",
                    "language": "en" if name.startswith("en_") else "ja",
                }


def validate(records: list[dict], folder: Path):
    write_dataset(records, folder / "corpus", shard_bytes=8_000_000)
    (folder / "accepted").mkdir(exist_ok=True)
    inputs = [folder / "corpus", Path(__file__).parents[2] / "policy.yaml", folder / "accepted"]
    return execute(run, ValidateSettings(), inputs, folder / "validated")


# Raw pages of a documentation: some are code alone, one holds an address. 109 of 3,000 documents, so
# bounds over the whole corpus would not see them.
BAD_SOURCE = "ja_vue_docs"


def test_raw_texts_fail_on_what_is_wrong_with_them_alone(tmp_path):
    """The books come with CRLF, the speeches repeat formulas of procedure, one source is half code."""
    with pytest.raises(KajiyaError) as failure:
        validate(list(documents()), tmp_path)
    message = str(failure.value)
    assert re.findall(r"^  (\w+): ", message, re.MULTILINE) == [
        "duplicates", "line_ends", "japanese_share", "language_measured", "emails",
    ]  # fmt: skip
    assert re.search(rf"emails: .* at {BAD_SOURCE} ", message)
    assert re.search(r"^    diet_full_speeches:\d+: ○", message, re.MULTILINE)


def test_tidied_texts_pass(tmp_path):
    tidy = {
        record["text"].replace("\r\n", "\n").strip(): record
        for record in documents()
        if record["source"] != BAD_SOURCE
    }
    records = [{**record, "text": text} for text, record in tidy.items() if text]
    report = validate(records, tmp_path)
    assert sum(flow.out for flow in report.flows.values()) == len(records)
    assert set(report.flows) == set(LICENSES) - {BAD_SOURCE}
