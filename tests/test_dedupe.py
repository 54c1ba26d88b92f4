"""Rules of dedupe: which texts are copies, whose copy stays, and that nothing else goes."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_folders import document, kept, output_bytes, write_source

from components.dedupe import DedupeSettings, run
from components.dedupe.budget import working_bytes
from components.dedupe.candidates import MOST_PARTNERS, candidate_pairs
from components.dedupe.minhash import Bands, band_keys, choose_bands, shingles, signatures
from components.dedupe.spill import HASHED, SpillWriter, as_records, ascending
from kajiya.errors import KajiyaError
from kajiya.ngrams import WITHOUT_SPACE, decode, flatten, select
from kajiya.records import REJECTED
from kajiya.shards import read_dataset, write_dataset
from kajiya.stage import execute

LETTERS = (
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん山川海空町人"
)


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch):
    monkeypatch.setenv("KAJIYA_WORKERS", "1")  # starting processes takes longer than these corpora


def prose(seed: int, length: int = 300) -> str:
    return "".join(random.Random(seed).choices(LETTERS, k=length))


def changed(text: str, places: int) -> str:
    """The text with `places` characters replaced, evenly spread."""
    letters = list(text)
    for i in range(places):
        letters[(i * len(text)) // places] = "☆"
    return "".join(letters)


def jaccard(a: str, b: str) -> float:
    x, y = ({t[i : i + 5] for i in range(len(t) - 4)} for t in (a, b))
    return len(x & y) / len(x | y)


def dedupe(tmp_path: Path, sources: dict[str, dict[str, str]], **changes) -> Path:
    for name, texts in sources.items():
        write_source(tmp_path / "clean" / name, texts)
    out = tmp_path / "deduped"
    execute(run, DedupeSettings(priority=tuple(sources), **changes), [tmp_path / "clean"], out)
    return out


def rejected(out: Path) -> dict[str, tuple[str, str]]:
    """Reason and detail by id, in order."""
    return {name: (row["reason"], row["detail"]) for name, row in rejected_rows(out).items()}


def rejected_rows(out: Path) -> dict[str, dict]:
    return {row["id"]: row for table in read_dataset(out / "rejected", REJECTED) for row in table.to_pylist()}


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_bands_are_the_longest_that_find_pairs_at_the_threshold(threshold):
    bands = choose_bands(128, threshold)
    assert bands.candidate_probability(threshold) >= 0.995
    assert bands.count * bands.rows <= 128
    longer = Bands(128 // (bands.rows + 1), bands.rows + 1)
    assert longer.candidate_probability(threshold) < 0.995


def test_signature_share_of_equal_minima_estimates_the_jaccard_similarity():
    texts = [prose(1, 2000), changed(prose(1, 2000), 20), changed(prose(1, 2000), 80), prose(2, 2000)]
    table = signatures(flatten(texts), 5, 1024)
    for a, b in itertools.combinations(range(4), 2):
        assert np.mean(table[a] == table[b]) == pytest.approx(jaccard(texts[a], texts[b]), abs=0.05)


def test_signature_of_a_text_does_not_depend_on_its_neighbours():
    texts = [prose(1), "短い", "", prose(2), "あいうえお"]
    together = signatures(flatten(texts), 5, 64)
    alone = [signatures(flatten([text]), 5, 64)[0] for text in texts]
    assert np.array_equal(together, alone)
    bands = choose_bands(64, 0.8)
    assert len(set(band_keys(together, bands)[0].tolist())) == bands.count


def test_shingles_are_the_set_of_ngrams():
    text = "ねこはこたつ、ねこはこたつ"
    sizes = [len(one) for one in shingles(flatten([text, "短い", ""]), 5)]
    assert sizes == [len({text[i : i + 5] for i in range(len(text) - 4)}), 1, 1]


@pytest.mark.parametrize("jaccard_wanted", [0.4, 0.5, 0.6, 0.7, 0.8])
def test_share_of_pairs_that_meet_in_a_band_is_that_of_the_theory(jaccard_wanted):
    """Windows of one text, moved until they share the wanted n-grams; four standard deviations."""
    pairs, chars = 400, 300
    shift = round((chars - 4) * (1 - jaccard_wanted) / (1 + jaccard_wanted))
    long = [prose(1000 + seed, chars + shift) for seed in range(pairs)]
    texts = [side for text in long for side in (text[:chars], text[shift:])]
    bands = choose_bands(128, 0.8)
    keys = band_keys(signatures(flatten(texts), 5, 128), bands)
    found = (keys[::2] == keys[1::2]).any(axis=1).sum()
    probability = np.mean(
        [bands.candidate_probability(jaccard(a, b)) for a, b in zip(texts[::2], texts[1::2], strict=True)]
    )
    deviation = np.sqrt(pairs * probability * (1 - probability))
    assert abs(found - pairs * probability) <= 4 * deviation + 1


def test_white_space_is_left_out_of_the_comparison():
    points = select(flatten(["あ い\nう　え", "", "あいうえ"]), WITHOUT_SPACE)
    assert points.offsets.tolist() == [0, 4, 4, 8]
    assert points.points[:4].tolist() == points.points[4:].tolist()


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


def test_bucket_of_many_unlike_texts_gives_no_more_pairs_than_its_size_allows():
    size = 500
    group = as_records(HASHED, key=np.full(size, 7, np.uint64), document=np.arange(size, dtype=np.uint32))
    ranks = np.arange(size, dtype=np.uint32)
    pairs = np.concatenate(list(candidate_pairs(group, ranks, ranks)))
    assert len(pairs) == len(np.unique(pairs)) == sum(min(i, MOST_PARTNERS) for i in range(size))
    assert (pairs >> np.uint64(32)).max() < MOST_PARTNERS + 1


def test_memory_budget_changes_no_byte(tmp_path: Path, monkeypatch):
    texts = {f"{i:03}": changed(prose(i % 40, 250), 1 + i // 40) for i in range(160)}
    write_source(tmp_path / "clean" / "web", texts, 20_000)
    config = DedupeSettings(priority=("web",), boilerplate={"sources": ["web"], "max_documents": 3})
    outputs = []
    for number, memory in enumerate((1 << 30, 4000)):  # the second: many groups, and partitions split
        monkeypatch.setattr("components.dedupe.working_bytes", lambda memory=memory: memory)
        execute(run, config, [tmp_path / "clean"], tmp_path / str(number))
        outputs.append(output_bytes(tmp_path / str(number)))
    assert outputs[0] == outputs[1]
    assert len(kept(tmp_path / "0")) == 40


@pytest.mark.parametrize("limit_bytes", [1 << 30, 5000, 100])
def test_spilled_records_come_back_ascending_and_whole(tmp_path: Path, limit_bytes):
    generator = np.random.default_rng(1)
    keys = generator.integers(0, 1 << 64, 3000, dtype=np.uint64)
    keys[::3] = keys[0]  # one key of many records stays together
    records = as_records(HASHED, key=keys, document=np.arange(3000, dtype=np.uint32))
    files = []
    for number, part in enumerate(np.array_split(records, 3)):
        writer = SpillWriter(tmp_path / str(number), HASHED)
        for piece in np.array_split(part, 4):
            writer.add(piece)
        files.append(writer.close())
    groups = list(ascending(files, limit_bytes))
    together = np.concatenate(groups)
    assert sorted(together.tolist()) == sorted(records.tolist())
    for one, following in itertools.pairwise(groups):
        assert one["key"].max() < following["key"].min()
    assert all(group.nbytes <= 2 * limit_bytes or len(set(group["key"])) < 30 for group in groups)


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


def test_boilerplate_of_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match=r"boilerplate\.sources names wev"):
        DedupeSettings(priority=("web",), boilerplate={"sources": ("wev",)})


@pytest.mark.parametrize("value", ["viel", "200"])
def test_memory_that_is_no_number_or_too_little_is_refused(monkeypatch, value):
    monkeypatch.setenv("KAJIYA_MEMORY_MB", value)
    with pytest.raises(KajiyaError, match="KAJIYA_MEMORY_MB="):
        working_bytes()


def test_memory_is_never_too_little_where_none_is_set(monkeypatch):
    monkeypatch.delenv("KAJIYA_MEMORY_MB", raising=False)
    monkeypatch.setenv("KAJIYA_WORKERS", "100000")
    assert working_bytes() == 32 << 20


def test_decoding_arrow_text_gives_the_points_of_its_strings():
    texts = ["ねこ\n𠮷野家 é", "", "abc　漢字", "x" * 50]
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(["前", *texts, "後"], kind).slice(1, 4)
        found, expected = decode(column, WITHOUT_SPACE), select(flatten(texts), WITHOUT_SPACE)
        assert found.points.tolist() == expected.points.tolist()
        assert found.offsets.tolist() == expected.offsets.tolist()


def test_dedupe_with_other_workers_and_shards_keeps_the_same(tmp_path: Path, monkeypatch):
    texts = {f"{i:02}": changed(prose(i % 12, 250), 1 + i // 12) for i in range(36)}
    outputs, documents = [], []
    for workers, shard_bytes in (("1", 6000), ("2", 6000), ("1", 1 << 20)):
        monkeypatch.setenv("KAJIYA_WORKERS", workers)
        folder = tmp_path / f"{workers}-{shard_bytes}"
        write_source(folder / "clean" / "web", texts, shard_bytes)
        execute(run, DedupeSettings(priority=("web",)), [folder / "clean"], folder / "out")
        outputs.append(output_bytes(folder / "out"))
        documents.append((kept(folder / "out"), rejected(folder / "out")))
    assert outputs[0] == outputs[1]
    assert documents[0] == documents[2]
    assert len(documents[0][0]) == 12


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
