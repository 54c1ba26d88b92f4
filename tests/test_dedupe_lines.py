"""Lines that stand in many documents go, and are listed."""

import json
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from corpus_folders import kept
from dedupe_corpus import changed, dedupe, prose, rejected_rows

from components.dedupe import DedupeSettings
from kajiya.engine import map_shards

pytestmark = pytest.mark.usefixtures("one_worker")


def test_line_of_many_documents_stays_in_the_best_alone(tmp_path: Path):
    notice = "当サイトの記事の無断転載を固く禁じます。"
    texts = {str(i): f"{prose(i)}\n{notice}\nはい。\n" for i in range(5)}
    web = texts | {
        "long": prose(9, 400) + "\n　" + notice + "\n" + prose(10, 90),
        "only": notice + "\n短い文。",
    }
    config = {"sources": ("web",), "max_documents": 3}
    out = dedupe(tmp_path, {"minutes": {"1": notice + prose(20)}, "web": web}, boilerplate=config)
    stays = kept(out)
    assert [name for name, text in stays.items() if notice in text] == ["minutes:1", "web:long"]
    assert stays["web:0"] == f"{prose(0)}\nはい。"  # a short line is left alone in however many documents
    row = rejected_rows(out)["web:only"]
    assert (row["reason"], row["value"], row["threshold"]) == ("boilerplate", 4, 50)
    assert row["text"] == web["only"]
    figures = json.loads((tmp_path / "deduped.report.json").read_text())["figures"]
    assert figures["boilerplate"] == {"web": {"documents_shortened": 5, "lines_removed": 5}}
    assert pq.read_table(out / "boilerplate.parquet").to_pylist() == [
        {"line": notice, "documents": 7, "removed": 5}
    ]


def test_line_of_many_copies_of_one_page_is_no_boilerplate(tmp_path: Path):
    line = "この一文は写しの数だけ現れます。"
    texts = {str(i): changed(prose(1), i) + "\n" + line for i in range(8)}
    out = dedupe(tmp_path, {"web": texts}, boilerplate={"sources": ("web",), "max_documents": 3})
    assert list(kept(out).values()) == [texts["0"]]


def test_line_goes_everywhere_where_no_first_one_is_kept(tmp_path: Path):
    notice = "当サイトの記事の無断転載を固く禁じます。"
    texts = {str(i): f"{notice}\n{prose(i)}\n{notice}" for i in range(5)}
    config = {"sources": ("web",), "max_documents": 4, "keep_first": False}
    out = dedupe(tmp_path, {"web": texts}, boilerplate=config)
    assert list(kept(out).values()) == [prose(i) for i in range(5)]


def test_boilerplate_of_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match=r"boilerplate\.sources names wev"):
        DedupeSettings(priority=("web",), boilerplate={"sources": ("wev",)})


def test_lines_pass_from_shard_to_shard_by_file_and_not_through_memory(tmp_path: Path, monkeypatch):
    """Neither a task nor a result holds the lines: there may be more of them than memory holds."""
    notices = [f"当サイトの注意書きその{number}をお読みください。" for number in range(300)]
    texts = {str(i): "\n".join([prose(i), *notices, prose(100 + i)]) for i in range(8)}
    config = {"sources": ("web",), "max_documents": 3}
    carried: list[bytes] = []

    def watched(function, tasks, description, ledger=None):
        for task, result in zip(tasks, map_shards(function, tasks, description, ledger), strict=True):
            carried.extend(bytes(ForkingPickler.dumps(one)) for one in (task, result))
            yield result

    monkeypatch.setattr("components.dedupe.map_shards", watched)
    out = dedupe(tmp_path, {"web": texts}, shard_bytes=20_000, boilerplate=config)
    assert len(carried) > 4
    assert max(map(len, carried)) < 3000  # 300 hashes with their counts are 6,000 bytes, the lines 15,000
    rows = pq.read_table(out / "boilerplate.parquet").to_pylist()
    assert sorted(row["line"] for row in rows) == sorted(notices)
    assert {(row["documents"], row["removed"]) for row in rows} == {(8, 7)}
