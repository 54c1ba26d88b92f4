"""Rules of dedupe: which texts are copies, whose copy stays, and that nothing else goes."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from corpus_folders import document, kept, output_bytes, write_source

from components.dedupe import DedupeSettings, run
from components.dedupe.minhash import Bands, band_keys, choose_bands, shingles, signatures
from kajiya.errors import KajiyaError
from kajiya.ngrams import WITHOUT_SPACE, flatten, select
from kajiya.records import REJECTED
from kajiya.shards import read_dataset, write_dataset
from kajiya.stage import execute

LETTERS = (
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん山川海空町人"
)


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
