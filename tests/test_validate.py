"""Rules of the validate stage: each expectation fails on the corpus made for it, and on no other."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_folders import output_bytes

from components.validate import ValidateSettings, characters, run
from components.validate.examination import Examiner
from components.validate.repeats import find_repeats
from components.validate.scan import find_faults, measure_language
from components.validate.suite import Check
from kajiya import scripts
from kajiya.errors import KajiyaError
from kajiya.records import DOCUMENT
from kajiya.shards import write_dataset
from kajiya.stage import execute

TEXTS = [
    "琵琶湖は滋賀県にある日本で最も大きな湖であり、古くから人々の暮らしと水運を支えてきた。湖の面積は県の六分の一をしめる。",
    "富士山は静岡県と山梨県にまたがる火山で、その姿は多くの絵や歌に取り上げられてきた。標高は三千七百七十六メートルである。",
    "信濃川は長野県と新潟県を流れる川である。長野県では千曲川と呼ばれ、流れ下って日本海に注ぐ。日本で最も長い川として知られる。",
    "Kyoto was the capital of Japan for more than a thousand years, and its temples draw many visitors every year.",
]


def document(index: int, text: str, **changes: object) -> dict:
    return {
        "id": f"wikipedia:{index}",
        "source": "wikipedia",
        "text": text,
        "url": f"https://ja.wikipedia.org/?curid={index}",
        "title": None,
        "date": None,
        "license": "CC-BY-SA-4.0",
        "generator": "human",
        "language": "en" if text.isascii() else "ja",
        **changes,
    }


@pytest.fixture
def corpus(tmp_path: Path):
    def write(*extra: dict, texts: list[str] = TEXTS) -> Path:
        folder = tmp_path / "decontaminated"
        write_dataset([*(document(i, text) for i, text in enumerate(texts)), *extra], folder, shard_bytes=200)
        return folder

    return write


POLICY = Path(__file__).parent.parent / "policy.yaml"


def validate(corpus: Path, **settings: object) -> Path:
    out, accepted = corpus.parent / "validated", corpus.parent / "accepted"
    accepted.mkdir(exist_ok=True)
    execute(run, ValidateSettings(**settings), [corpus, POLICY, accepted], out)
    return out


def table(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), DOCUMENT)


def test_corpus_in_order_passes_with_summary_report_and_data_docs(corpus):
    out = validate(corpus())
    summary = json.loads((out / "summary.json").read_text())
    assert all(verdict["passed"] for verdict in summary)
    assert {"columns", "id_unique", "license_allowed", "japanese_share", "duplicates"} <= {
        verdict["name"] for verdict in summary
    }
    report = json.loads((out.parent / "validated.report.json").read_text())
    assert report["flows"]["wikipedia"]["out"] == 4
    assert report["figures"]["documents"]["language"] == {"en": 1, "ja": 3}
    pages = out.parent / "validated.pages"
    assert (pages / "index.html").exists()
    assert any("No id occurs twice" in page.read_text() for page in pages.rglob("validations/**/*.html"))


def test_second_run_with_more_workers_gives_the_same_bytes(corpus, monkeypatch):
    folder = corpus()
    outputs = []
    for workers in ("1", "2"):
        monkeypatch.setenv("KAJIYA_WORKERS", workers)
        outputs.append(output_bytes(validate(folder)))
    assert set(outputs[0]) == {"summary.json", "profile.json", "report"}
    assert outputs[0] == outputs[1]


MAIL = "お問い合わせは山田太郎あて、taro.yamada@example.co.jp までお送りください。折り返し担当の者からご連絡いたします。"
CALL = "お申し込みは電話で受け付けています。番号は 03-1234-5678 です。受け付けは平日の朝九時から夕方五時までとなっております。"


DEFECTS = [
    ("id_unique", document(0, "同じ番号をもつ別の文書である。" * 5)),
    ("id_prefix", document(11, "別の出典を名のる文書である。" * 5, id="c4:11")),
    ("license_allowed", document(12, "許されない条件の文書である。" * 5, license="CC-BY-NC-4.0")),
    ("generator_allowed", document(13, "機械が書いた文書である。" * 5, generator="gpt-4")),
    ("language_allowed", document(14, "이것은 한국어로 쓴 문서입니다. " * 5, language="ko")),
    ("text_not_empty", document(15, "　\n")),
    ("japanese_share", document(16, "This page claims to be in Japanese. " * 4, language="ja")),
    ("duplicates", document(17, TEXTS[1])),
    ("emails", document(18, MAIL)),
    ("phones", document(19, CALL)),
    (
        "language_measured",
        document(22, "The cat sat on the mat and looked at the bird in the tree.", language="ja"),
    ),
    (
        "language_measured",
        document(23, "Kissan nimi on Mirri ja koiran nimi on Musti, ne asuvat talossa.", language="en"),
    ),
    ("unreadable", document(24, "壊れた文字\ufffdをもつ文書である。" * 5)),
    ("line_ends", document(20, "行の終わりが違う。\r\n" * 6)),
    ("url", document(21, "開けない住所をもつ文書である。" * 5, url="wikipedia/7")),
]


def test_each_defect_fails_its_own_expectation_and_is_shown(corpus):
    folder = corpus(*(bad for _, bad in DEFECTS))
    with pytest.raises(KajiyaError) as failure:
        validate(folder)
    shown: dict[str, set[str]] = {}
    for line in str(failure.value).splitlines():
        if found := re.match(r"  (\w+): .* Observed: ", line):
            rows = shown.setdefault(found[1], set())
        elif found := re.match(r"    (\w+:\d+)\b", line):
            rows.add(found[1])
    planted: dict[str, set[str]] = {"duplicates": {"wikipedia:1"}, "id_unique": {"wikipedia:0"}}
    for expectation, bad in DEFECTS:
        planted.setdefault(expectation, set()).add(bad["id"])
    planted["japanese_share"].add("wikipedia:22")
    planted["language_measured"] |= {"wikipedia:16", "wikipedia:14"}
    planted["language_measured"].discard("wikipedia:14")  # it says that it is Korean, and is
    assert shown == planted
    assert "for_example ['forbidden_generator:gpt-4']" in str(failure.value)
    assert "wikipedia:13 in part-" in str(failure.value)
    assert "generator 'gpt-4' is cleared for evaluation only" in str(failure.value)


def test_failed_corpus_publishes_nothing_but_data_docs(corpus):
    folder = corpus(document(7, "機械が書いた文書である。" * 5, generator="gpt-4"))
    with pytest.raises(KajiyaError, match="fails 1 of"):
        validate(folder)
    assert not (folder.parent / "validated").exists()
    assert (folder.parent / "validated.pages" / "index.html").exists()


def test_limits_from_the_settings_decide(corpus):
    folder = corpus()
    with pytest.raises(KajiyaError) as failure:
        validate(folder, min_documents=5, max_chars=100, min_median_chars=100, languages=("ja",))
    failed = re.findall(r"^  (\w+): ", str(failure.value), re.MULTILINE)
    assert failed == ["document_count", "median_length", "language_allowed", "text_length"]


def test_share_of_exceptions_within_the_limit_passes(corpus):
    assert validate(corpus(document(7, CALL)), max_personal_data_share=0.2).exists()


def test_shard_with_other_columns_fails_naming_the_shard(corpus):
    folder = corpus()
    pq.write_table(pa.table({"id": ["x:1"], "text": ["あ"]}), folder / "part-00001.parquet")
    with pytest.raises(KajiyaError, match=r"columns: (?s:.*)part-00001\.parquet"):
        validate(folder)


def test_shard_cut_short_is_an_error_naming_the_file(corpus):
    folder = corpus()
    shard = folder / "part-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(KajiyaError, match=r"part-00001\.parquet: not a readable Parquet"):
        validate(folder)


def test_empty_corpus_fails_on_the_document_count(tmp_path):
    write_dataset([], tmp_path / "decontaminated")
    with pytest.raises(KajiyaError, match="document_count"):
        validate(tmp_path / "decontaminated")


def test_exception_inside_an_expectation_is_an_error_and_no_verdict(tmp_path):
    check = Check("documents", "absent_column", "missing", "…", maximum=1)
    frame = pl.DataFrame({"row": ["a"], "id": ["a:1"]})
    with pytest.raises(KajiyaError, match=r"could not be evaluated(?s:.*)absent_column: .*missing"):
        Examiner(tmp_path, 5).examine("documents", {"documents": frame}, [check])


def test_characters_are_counted_by_script():
    texts = ["日本の ab１", " \n", "", "ｶﾅ\r\nカナ・ー\n\n한글 々𠮟", "\ufffda@b＠c"]
    counts = characters.count(pa.chunked_array([pa.array(texts, pa.large_string())]))
    assert counts.characters.tolist() == [7, 0, 0, 15, 6]
    assert counts.lines.tolist() == [1, 0, 0, 3, 1]
    assert counts.visible.tolist() == [6, 0, 0, 10, 6]
    of = counts.classes.T
    assert of[scripts.KANJI].tolist() == [2, 0, 0, 2, 0]
    assert of[scripts.HIRAGANA].tolist() == [1, 0, 0, 0, 0]
    assert of[scripts.KATAKANA].tolist() == [0, 0, 0, 5, 0]
    assert of[characters.HANGUL].tolist() == [0, 0, 0, 2, 0]
    assert of[scripts.LATIN].tolist() == [2, 0, 0, 0, 3]
    assert of[scripts.DIGIT].tolist() == [1, 0, 0, 0, 0]
    assert of[characters.RETURN].tolist() == [0, 0, 0, 1, 0]
    assert of[characters.AT_SIGN].tolist() == [0, 0, 0, 0, 2]
    assert of[characters.UNREADABLE].tolist() == [0, 0, 0, 0, 1]


def test_texts_that_differ_in_white_space_at_their_ends_alone_have_one_hash():
    texts = ["日本の湖", " 日本の湖\n\n", "日本の 湖", "", " "]
    hashes = characters.count(pa.chunked_array([pa.array(texts, pa.large_string())])).hashes.tolist()
    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes[3] == hashes[4]


@pytest.mark.parametrize(
    ("text", "language", "measured"),
    [
        (TEXTS[0], "ja", "ja"),
        ("出席議員氏名 田中一郎 佐藤次郎 鈴木三郎 高橋四郎 渡辺五郎 以上の諸君", "ja", "ja"),
        ("今天天气很好，我们一起去公园散步吧。那里有很多美丽的花和树木。", "ja", "zh"),
        ("이것은 한국어로 쓴 문서입니다. 날씨가 좋아서 산책을 갑니다.", "ja", "ko"),
        (TEXTS[3], "en", "en"),
        ("Kissan nimi on Mirri ja koiran nimi on Musti, ne asuvat talossa.", "en", "latin"),
        ("def f(x): return x + some_value * another_value", "code", "latin"),
        ("Это документ на русском языке, и он довольно короткий.", "ja", "other"),
        ("OK 12", "ja", ""),
    ],
)
def test_language_is_measured_by_script(text, language, measured):
    one = table(document(1, text, language=language))
    assert measure_language(one, characters.count(one["text"])).tolist() == [measured]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("電話03-1234-5678まで", "phones"),
        ("０３－１２３４－5678", "phones"),
        ("(03) 1234-5678", "phones"),
        ("（０４５）123-4567", "phones"),
        ("0120-123-456または090-1234-5678", "phones"),
        ("080 1234 5678", "phones"),
        ("+81 3 1234 5678", "phones"),
        ("taro＠example.ne.jp", "emails"),
        ("02-03-2024", None),
        ("2024-01-05", None),
        ("978-4-06-123456-7", None),
        ("〒100-0001", None),
        ("<phone>、<email>", None),
        ("@decorator.name", None),
    ],
)
def test_personal_data_is_told_from_other_numbers(text, found):
    one = table(document(1, text))
    counts = characters.count(one["text"])
    faults = find_faults(one, counts, measure_language(one, counts), ValidateSettings())
    assert [kind for kind in ("emails", "phones") if faults[kind].any()] == ([found] if found else [])


def test_repeats_are_found_over_shards_and_ranges(tmp_path, monkeypatch):
    monkeypatch.setattr("components.validate.repeats._RANGE_DOCUMENTS", 3)
    generator = np.random.default_rng(5)
    values = generator.integers(0, 2**64, 40, dtype=np.uint64)
    values[[7, 23, 31]] = values[2]
    values[39] = values[15]
    for number, shard in enumerate(np.split(values, [10, 10, 25])):
        order = np.argsort(shard, kind="stable")
        np.save(tmp_path / f"id-{number:05d}.npy", shard[order])
        np.save(tmp_path / f"id-rows-{number:05d}.npy", order)
    repeats = find_repeats(tmp_path, "id", 4, examples=6)
    assert repeats.copies == {1: 34, 2: 1, 4: 1}
    assert repeats.places == [(0, 2), (0, 7), (2, 13), (3, 6), (2, 5), (3, 14)]


def test_missing_value_fails_naming_the_column(corpus):
    folder = corpus()
    shard = folder / "part-00000.parquet"
    whole = pq.read_table(shard)
    place = whole.schema.get_field_index("license")
    pq.write_table(
        whole.set_column(place, pa.field("license", pa.string()), pa.nulls(whole.num_rows, pa.string())),
        shard,
    )
    with pytest.raises(KajiyaError, match=r"filled: (?s:.*)at license(?s:.*)unknown_license:"):
        validate(folder)


def test_one_bad_source_does_not_hide_in_a_good_corpus(corpus):
    rest = [document(100 + i, f"{i}番目の{text}") for i in range(30) for text in TEXTS[:3]]
    bad = document(1, CALL, id="web:1", source="web")
    with pytest.raises(KajiyaError, match=r"phones: (?s:.*)value 1\.0, at web"):
        validate(corpus(*rest, bad), max_personal_data_share=0.05)


def test_page_stands_alone_and_shows_failures_first(corpus):
    folder = corpus(document(7, "機械が書いた文書である。<b>" * 5, generator="gpt-4"))
    with pytest.raises(KajiyaError, match=r"corpus\.html"):
        validate(folder)
    page = (folder.parent / "validated.pages" / "corpus.html").read_text(encoding="utf-8")
    assert page.index("What fails") < page.index("forbidden_generator:gpt-4") < page.index("<h2>Sources")
    assert "cleared for evaluation only" in page
    assert page.count("<svg") == 9
    assert not re.search(r"""(?:src|href)=["'](?!index\.html)""", page)
    assert "<b>機械" not in page


def test_stage_from_the_command_line_stops_with_the_reason(corpus, tmp_path):
    corpus(document(7, "機械が書いた文書である。" * 5, generator="gpt-4"))
    (tmp_path / "params.yaml").write_text("validate: {}\n")
    (tmp_path / "policy.yaml").write_bytes(POLICY.read_bytes())
    (tmp_path / "accepted").mkdir()
    command = [
        sys.executable,
        "-m",
        "components.validate",
        "decontaminated",
        "policy.yaml",
        "accepted",
        "validated",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error: validate: the corpus fails 1" in done.stderr
    assert "generator_allowed" in done.stderr
    assert "gpt-4" in done.stderr
    assert "Traceback" not in done.stderr
