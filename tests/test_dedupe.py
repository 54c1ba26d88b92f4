"""Rules of dedupe: which texts are copies, whose copy stays, and that nothing else goes."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from corpus_folders import document, kept, write_source
from dedupe_corpus import changed, dedupe, jaccard, prose, rejected, rejected_rows

from components.dedupe import DedupeSettings, run
from kajiya.errors import KajiyaError
from kajiya.shards import write_dataset
from kajiya.stage import execute

pytestmark = pytest.mark.usefixtures("one_worker")


def test_exact_duplicate_goes_and_names_the_copy_that_stays(tmp_path: Path):
    out = dedupe(
        tmp_path,
        {
            "wikipedia": {"1": prose(1)},
            "web": {"0": prose(1), "1": prose(2), "2": prose(2)[:100] + "\n " + prose(2)[100:]},
        },
    )
    assert list(kept(out)) == ["wikipedia:1", "web:1"]
    assert rejected(out) == {
        "web:0": ("exact_duplicate", "wikipedia:1"),
        "web:2": ("exact_duplicate", "web:1"),
    }


def test_near_duplicate_goes_by_priority_then_length_then_order(tmp_path: Path):
    base = {seed: prose(seed) for seed in range(4)}
    out = dedupe(
        tmp_path,
        {
            "wikipedia": {"short": base[0]},
            "web": {
                "long": base[0] + "おまけの文です。",  # longer, but of the later source
                "a": base[1], "b": base[1] + "おまけ",  # the longer stays
                "d": changed(base[2], 3), "c": changed(base[2], 4),  # equally long: the first stays
                "other": base[3],
            },
        },
    )  # fmt: skip
    assert list(kept(out)) == ["wikipedia:short", "web:b", "web:d", "web:other"]
    assert rejected(out) == {
        "web:long": ("near_duplicate", "wikipedia:short"),
        "web:a": ("near_duplicate", "web:b"),
        "web:c": ("near_duplicate", "web:d"),
    }


def test_pairs_are_merged_exactly_from_the_threshold_on(tmp_path: Path):
    texts, expected = {}, {}
    for seed in range(40):
        text = prose(seed, 400)
        texts[f"{seed:02}a"], texts[f"{seed:02}b"] = text, changed(text, seed + 1)
        expected[f"web:{seed:02}b"] = jaccard(text, changed(text, seed + 1)) >= 0.8
    out = dedupe(tmp_path, {"web": texts})
    assert 5 < sum(expected.values()) < 35
    assert {name: name in rejected(out) for name in expected} == expected


def test_chain_of_similar_texts_loses_only_copies_of_what_stays(tmp_path: Path):
    """a is like b, b like c, c like d, but a not like c."""
    texts = {
        name: prose(1, 1000)[start : start + 800]
        for name, start in zip("abcd", (0, 66, 132, 198), strict=True)
    }
    assert jaccard(texts["a"], texts["b"]) > 0.8 > jaccard(texts["a"], texts["c"])
    out = dedupe(tmp_path, {"web": texts})
    stays, goes = kept(out), rejected(out)
    assert list(stays) == ["web:a", "web:c"]
    assert all(jaccard(texts[name[4:]], texts[kept_id[4:]]) >= 0.8 for name, (_, kept_id) in goes.items())


def test_exact_copy_of_a_near_duplicate_names_a_document_that_stays(tmp_path: Path):
    near = changed(prose(1), 3)
    out = dedupe(tmp_path, {"wiki": {"1": prose(1)}, "web": {"1": near, "2": near}})
    assert rejected(out) == {"web:1": ("near_duplicate", "wiki:1"), "web:2": ("exact_duplicate", "wiki:1")}


def test_many_copies_in_one_bucket_leave_one(tmp_path: Path):
    texts = {f"{i:03}": changed(prose(7, 1000), 1 + i % 20) + str(i) for i in range(300)}
    out = dedupe(tmp_path, {"web": texts})
    assert len(kept(out)) == 1


def test_chain_of_similar_texts_leaves_one_where_clusters_are_connected(tmp_path: Path):
    texts = {
        name: prose(1, 1000)[start : start + 800]
        for name, start in zip("abcd", (0, 66, 132, 198), strict=True)
    }
    out = dedupe(tmp_path, {"web": texts | {"e": texts["d"]}}, clusters="connected")
    assert list(kept(out)) == ["web:a"]
    for name, row in rejected_rows(out).items():
        if (
            row["reason"] == "near_duplicate"
        ):  # measured against the one kept, though it came in through others
            assert row["value"] == pytest.approx(jaccard(texts["a"], texts[name[4:]]), abs=1e-3)
    assert rejected(out)["web:e"] == ("exact_duplicate", "web:a")


def test_copies_tell_their_similarity_and_clusters_list_them_by_the_one_kept(tmp_path: Path):
    near = changed(prose(1), 3)
    out = dedupe(
        tmp_path, {"wiki": {"1": prose(1)}, "web": {"1": prose(2), "2": near, "3": prose(2), "4": near}}
    )
    similarity = pytest.approx(jaccard(prose(1), near), abs=1e-5)
    told = {name: (row["value"], row["threshold"]) for name, row in rejected_rows(out).items()}
    assert told == {"web:2": (similarity, 0.8), "web:3": (None, None), "web:4": (None, None)}
    clusters = pq.read_table(out / "clusters" / "part-00000.parquet").to_pylist()
    assert [tuple(row.values()) for row in clusters] == [
        ("wiki:1", "web:2", "near", similarity),
        ("wiki:1", "web:4", "exact", similarity),
        ("web:1", "web:3", "exact", 1.0),
    ]


@pytest.mark.parametrize("clusters", ["star", "connected"])
def test_empty_source_gives_empty_shards_and_lists(tmp_path: Path, clusters):
    config = {"sources": ("web",)}
    out = dedupe(tmp_path, {"web": {}, "wiki": {"1": "あ"}}, clusters=clusters, boilerplate=config)
    assert kept(out) == {"wiki:1": "あ"}
    assert rejected(out) == {}
    assert pq.read_table(out / "clusters" / "part-00000.parquet").num_rows == 0
    assert pq.read_table(out / "boilerplate.parquet").num_rows == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "boilerplate.parquet", "clusters", "part-00000.parquet", "part-00001.parquet", "rejected",
    ]  # fmt: skip


def test_source_left_from_an_earlier_run_is_refused(tmp_path: Path):
    write_source(tmp_path / "clean" / "web", {"1": prose(1)})
    write_source(tmp_path / "clean" / "old", {"1": prose(2)})
    with pytest.raises(KajiyaError, match=r"clean/old: not named in `dedupe\.priority` \(web\)"):
        execute(run, DedupeSettings(priority=("web",)), [tmp_path / "clean"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_source_that_is_named_but_absent_is_refused(tmp_path: Path):
    write_source(tmp_path / "clean" / "web", {"1": prose(1)})
    with pytest.raises(
        KajiyaError, match=r"clean/wiki: named in `dedupe\.priority`, but there is no such folder"
    ):
        execute(run, DedupeSettings(priority=("web", "wiki")), [tmp_path / "clean"], tmp_path / "out")


def test_two_documents_of_one_id_are_refused(tmp_path: Path):
    write_dataset([document("1", prose(1)), document("1", prose(2))], tmp_path / "clean" / "web")
    with pytest.raises(KajiyaError, match="two documents have the id web:1"):
        execute(run, DedupeSettings(priority=("web",)), [tmp_path / "clean"], tmp_path / "out")
