"""The corpus stages on real text: every document accounted for, known copies and leaks found."""

import gzip
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.clean import CleanSettings
from components.clean import run as run_clean
from components.decontaminate import DecontaminateSettings
from components.decontaminate import run as run_decontaminate
from components.dedupe import DedupeSettings
from components.dedupe import run as run_dedupe
from kajiya.evaluation_sets import load_all
from kajiya.records import REJECTED
from kajiya.shards import read_dataset, write_dataset
from kajiya.stage import execute

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA} (set KAJIYA_SHARED_DATA)")

# Rule set, file, how many documents (the whole takes minutes), share that must pass.
SOURCES = {
    "aozora": ("literature-ja", "text/aozora.jsonl.gz", 150, 0.97),
    "diet": ("minutes-ja", "text/diet_fragments.jsonl.gz", 5000, 0.95),
    "technical": ("technical-ja", "text/ja_js_primer.jsonl.gz", 81, 0.9),
    "encyclopedia": ("encyclopedic-ja", "text/jaquad_contexts.jsonl.gz", 11144, 0.99),
    "leads": ("encyclopedic-ja", "text/ku_wikipedia_leads.jsonl.gz", 3979, 0.95),
    "books": ("literature-en", "text/en_classic_books.jsonl.gz", 4, 1.0),
}

EXCLUSIONS = Path(__file__).parents[2] / "exclusions.yaml"


def read(name: str, count: int | None = None) -> list[dict]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in itertools.islice(lines, count)]


def write_texts(folder: Path, texts: list[str]) -> Path:
    rows = [
        {
            "id": f"{folder.name}:{i}",
            "source": folder.name,
            "text": text,
            "license": "test",
            "generator": "human",
            "language": "en" if text[:200].isascii() else "ja",
        }
        for i, text in enumerate(texts)
        if text
    ]
    write_dataset(rows, folder)
    return folder


def rows(folder: Path, schema: pa.Schema | None = None) -> list[dict]:
    tables = read_dataset(folder, schema) if schema else read_dataset(folder)
    return [row for table in tables for row in table.to_pylist()]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The reports of clean (by source), dedupe and decontaminate, and the folder."""
    root = tmp_path_factory.mktemp("real")
    reports = {}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KAJIYA_WORKERS", "1")
        for source, (rules, name, count, _) in SOURCES.items():
            crawled = write_texts(root / "crawl" / source, [one["text"] for one in read(name, count)])
            out = root / "clean" / source
            reports[source] = execute(run_clean, CleanSettings(rules=rules), [crawled, EXCLUSIONS], out)
        config = DedupeSettings(priority=tuple(SOURCES))
        reports["dedupe"] = execute(run_dedupe, config, [root / "clean"], root / "deduped")
        inputs = [root / "deduped", DATA / "jglue"]
        out = root / "decontaminated"
        reports["decontaminate"] = execute(run_decontaminate, DecontaminateSettings(), inputs, out)
    return reports, root


@pytest.mark.parametrize("source", SOURCES)
def test_rules_of_a_source_keep_most_of_its_real_text(chain, source):
    flow = chain[0][source].flows[source]
    assert flow.out / flow.came_in >= SOURCES[source][3], flow.rejected


def test_every_real_document_is_in_the_corpus_or_rejected_once(chain):
    reports, root = chain
    came = {row["id"] for source in SOURCES for row in rows(root / "crawl" / source)}
    corpus = rows(root / "decontaminated")
    folders = [*(root / "clean" / source for source in SOURCES), root / "deduped", root / "decontaminated"]
    rejects = [row for folder in folders for row in rows(folder / "rejected", REJECTED)]
    ids = [row["id"] for row in corpus + rejects]
    assert len(ids) == len(set(ids))
    assert set(ids) == came
    assert all(row["text"].strip() for row in corpus + rejects)
    assert all(row["reason"] for row in rejects)
    assert sum(flow.out for flow in reports["decontaminate"].flows.values()) == len(corpus)


def test_real_text_that_no_set_was_made_from_is_never_taken_for_an_item(chain):
    dropped = {source: flow.rejected.total() for source, flow in chain[0]["decontaminate"].flows.items()}
    # JSQuAD was made from Wikipedia: leads are its contexts, and JaQuAD asks about the same articles.
    assert dropped.pop("leads") > 30
    assert dropped.pop("encyclopedia") > 0
    assert dropped == dict.fromkeys(dropped, 0)


def test_real_editions_are_merged_as_their_similarity_says(tmp_path):
    """224 pairs of editions of one work, with exact Jaccard similarities."""
    texts = read("dedupe_gold/texts.jsonl.gz")
    pairs = read("dedupe_gold/pairs.jsonl.gz")
    names = {one["id"]: f"editions:{i}" for i, one in enumerate(texts)}
    write_texts(tmp_path / "clean" / "editions", [one["text"] for one in texts])
    out = tmp_path / "out"
    execute(run_dedupe, DedupeSettings(priority=("editions",)), [tmp_path / "clean"], out)
    stays = {row["id"]: row["detail"] for row in rows(out / "rejected", REJECTED)}

    def merged(pair: dict) -> bool:
        a, b = names[pair["a"]], names[pair["b"]]
        return stays.get(a, a) == stays.get(b, b)

    alike = [merged(pair) for pair in pairs if pair["jaccard_char5"] >= 0.8]
    unlike = [merged(pair) for pair in pairs if pair["jaccard_char5"] < 0.5]
    assert (len(alike), len(unlike)) == (87, 61)
    assert sum(alike) >= 0.98 * len(alike)
    assert sum(unlike) <= 0.01 * len(unlike)


@pytest.fixture(scope="module")
def contexts():
    questions = [one["text"] for one in read("text/jsquad_contexts.jsonl.gz")]
    return questions, [one["text"] for one in read("text/jaquad_contexts.jsonl.gz")]


def covered_by_sets(items: list[str], documents: list[str], n: int = 13) -> np.ndarray:
    """Share of each item's n-grams that stand in any document, by plain set arithmetic."""
    known = {text[i : i + n] for text in documents for i in range(len(text) - n + 1)}
    grams = [{text[i : i + n] for i in range(len(text) - n + 1)} for text in items]
    return np.array([len(one & known) / max(1, len(one)) for one in grams])


def test_jsquad_contexts_leaked_into_jaquad_are_found_exactly(contexts, tmp_path):
    """24 of the 2,302 share over 30 % of their 13-grams, 218 at least one."""
    items, documents = contexts
    shares = covered_by_sets(items, documents)
    assert (len(items), (shares > 0.3).sum(), (shares > 0).sum()) == (2302, 24, 218)

    report, leaked = decontaminate_against(tmp_path, items, documents)
    figures = report.figures["sets"]["jsquad/valid-v1.3"]
    assert figures["items"]["over_bound"] == 24
    assert figures["items"]["over_bound_in_what_stays_together"] == 0
    assert figures["documents"]["dropped"] == len(leaked) > 0
    # What went names one of the 24, and no document is left that holds one.
    assert {int(name) for name in leaked.values()} <= set(np.flatnonzero(shares > 0.3).tolist())
    left = [text for i, text in enumerate(documents) if f"jaquad:{i}" not in leaked]
    assert (covered_by_sets(items, left) > 0.3).sum() == 0


def decontaminate_against(tmp_path: Path, items: list[str], documents: list[str]):
    """The report, and per dropped document the item it was dropped for."""
    answers = [{"text": "。", "answer_start": 0}]
    paragraphs = [
        {
            "context": text,
            "qas": [{"id": str(i), "question": "？", "answers": [answers[0] | {"text": text[0]}]}],
        }
        for i, text in enumerate(items)
    ]
    folder = tmp_path / "evaluation" / "jsquad"
    folder.mkdir(parents=True)
    (folder / "valid-v1.3.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    corpus = write_texts(tmp_path / "jaquad", documents)
    out = tmp_path / "out"
    report = execute(run_decontaminate, DecontaminateSettings(), [corpus, tmp_path / "evaluation"], out)
    dropped = {row["id"]: row["detail"] for row in rows(out / "rejected", REJECTED)}
    return report, {name: detail.split(":")[1].split()[0] for name, detail in dropped.items()}


def test_real_jglue_files_are_read_unchanged():
    sizes = {(one.name, one.split, one.version): len(one.items) for one in load_all(DATA / "jglue")}
    assert sizes == {
        ("jcommonsenseqa", "train", "v1.3"): 8939,
        ("jcommonsenseqa", "valid", "v1.3"): 1119,
        ("jnli", "valid", "v1.3"): 2434,
        ("jsquad", "valid", "v1.3"): 4442,
    }
