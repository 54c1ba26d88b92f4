"""What the clean stage leaves of documents with given values, and a project to audit it in."""

import json
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from kajiya.audit.page import write_audit
from kajiya.audit.source import find_source
from kajiya.audit.summary import Tally
from kajiya.records import DOCUMENT, REJECTED
from kajiya.report import Flow, Report
from kajiya.shards import shard_path, write_file, write_shard
from kajiya.workplace import beside

ROOT = Path(__file__).parent.parent
RULES = [("length", "min", 100.0), ("length", "max", 5000.0), ("kana", "min", 0.2), ("words", "max", 2.0)]


def document(name, text="本文です。", taken=False, title=None, url=None, **values):
    """A document as the measures know it, with its text."""
    return {"id": f"web:{name}", "text": text, "taken": taken, "title": title, "url": url, "values": values}


def why(one, rules):
    """The reason of a document, worked out a second time: the first bound in the order that it fails."""
    if one["taken"]:
        return "takedown"
    for name, direction, threshold in rules:
        value = one["values"][name]
        if value < threshold if direction == "min" else value > threshold:
            return name
    return None


def write_source(folder, shards, rules=RULES):
    """What the clean stage leaves of documents with these values. shards: lists of documents."""
    names = list(dict.fromkeys(name for name, _, _ in rules))
    write_file(
        folder / "rules.json",
        json.dumps(
            [
                {
                    "name": n,
                    "rule": n,
                    "direction": d,
                    "threshold": t,
                    "source": "own",
                    "description": f"About {n}.",
                }
                for n, d, t in rules
            ]
        ),
    )
    flow = Flow()
    for number, documents in enumerate(shards):
        reasons = [why(one, rules) for one in documents]
        flow.came_in += len(documents)
        flow.rejected.update(reason for reason in reasons if reason)
        flow.out += reasons.count(None)
        columns = {
            "id": pa.array([one["id"] for one in documents], pa.string()),
            "kept": pa.array([reason is None for reason in reasons], pa.bool_()),
            "reason": pa.array(reasons, pa.string()),
            "chars": pa.array([len(one["text"]) for one in documents], pa.int64()),
        }
        columns |= {n: pa.array([float(one["values"][n]) for one in documents], pa.float64()) for n in names}
        write_shard(pa.table(columns), shard_path(folder / "measures", number))
        rows = [document_row(one, reason) for one, reason in zip(documents, reasons, strict=True)]
        kept = [row for row in rows if row["reason"] is None]
        gone = [row for row in rows if row["reason"] is not None]
        write_shard(pa.Table.from_pylist(kept, DOCUMENT), shard_path(folder, number))
        write_shard(pa.Table.from_pylist(gone, REJECTED), shard_path(folder / "rejected", number))
    figures = {"lines": {"navigation": 4}, "masked": {"email": 3, "phone": 1}}
    report = Report(flows={"web": flow}, figures=figures)
    write_file(beside(folder, "report"), report.model_dump_json())
    return folder


def document_row(one, reason):
    return {
        **{key: one[key] for key in ("id", "title", "url")},
        "text": "" if one["taken"] else one["text"],
        "source": "web",
        "license": "CC0-1.0",
        "generator": "human",
        "language": "ja",
        "reason": reason,
        "detail": "",
    }


def source(name="web"):
    return find_source(f"clean@{name}", Path("dvc.yaml"), Path("params.yaml"))


def page():
    return write_audit(source(), Path("dvc.lock")).read_text(encoding="utf-8")


FEW = [
    document("good", length=300, kana=0.5, words=0, text="あ" * 300),
    document("best", length=400, kana=0.6, words=1, text="い" * 400),
    document("short", length=40, kana=0.5, words=0, text="う" * 40),
    document("short-and-bad", length=50, kana=0.1, words=9, text="え" * 50),
    document("kanji", length=200, kana=0.15, words=0, text="漢" * 200),
    document("asked", taken=True, length=999, kana=0.19, words=2, text="秘" * 999),
]


def many(count, seed=7):
    """Documents with values on, near and far from every threshold."""
    draw = random.Random(seed)
    return [
        document(
            str(number),
            length=int(draw.lognormvariate(6, 1.5)),
            kana=draw.choice([0.0, 0.2, 0.5, draw.random(), draw.random() / 4]),
            words=draw.choice([0, 0, 0, 1, 2, 3, 7]),
            text="字" * draw.randint(1, 60),
        )
        for number in range(count)
    ]


def brute_force(documents, index, threshold):
    """Documents and characters kept with one threshold replaced."""
    rules = [(n, d, threshold if i == index else t) for i, (n, d, t) in enumerate(RULES)]
    kept = [one for one in documents if why(one, rules) is None]
    return Tally(len(kept), sum(len(one["text"]) for one in kept))


def make_project(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a project with two sources; nothing has run yet."""
    shutil.copy(ROOT / "dvc.yaml", root)
    (root / "params.yaml").write_text("sources:\n  web: {input: data/web}\n  books: {input: data/books}\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("KAJIYA_WORKERS", "1")
    return root
