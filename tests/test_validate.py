"""Rules of the validate stage: each expectation fails on the corpus made for it, and on no other."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from great_expectations import expectations as gxe

from components.validate import ValidateSettings, run
from components.validate.examination import Examiner
from components.validate.features import describe_documents, features
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


def validate(corpus: Path, **settings: object) -> Path:
    out = corpus.parent / "validated"
    execute(run, ValidateSettings(**settings), [corpus], out)
    return out


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


def test_second_run_gives_the_same_bytes(corpus):
    folder = corpus()
    first = (
        (validate(folder) / "summary.json").read_bytes(),
        (folder.parent / "validated.report.json").read_bytes(),
    )
    second = (
        (validate(folder) / "summary.json").read_bytes(),
        (folder.parent / "validated.report.json").read_bytes(),
    )
    assert first == second


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
    ("personal_data", document(18, MAIL)),
    ("personal_data", document(19, CALL)),
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
        elif found := re.match(r"    (\w+:\d+): ", line):
            rows.add(found[1])
    planted: dict[str, set[str]] = {"duplicates": {"wikipedia:1"}}
    for expectation, bad in DEFECTS:
        planted.setdefault(expectation, set()).add(bad["id"])
    assert shown == planted
    assert "generator_allowed: Every generator stands in `validate.generators`" in str(failure.value)
    assert "for_example ['gpt-4']" in str(failure.value)


def test_failed_corpus_publishes_nothing_but_data_docs(corpus):
    folder = corpus(document(7, "機械が書いた文書である。" * 5, generator="gpt-4"))
    with pytest.raises(KajiyaError, match="fails 1 of"):
        validate(folder)
    assert not (folder.parent / "validated").exists()
    assert (folder.parent / "validated.pages" / "index.html").exists()


def test_limits_from_the_settings_decide(corpus):
    folder = corpus()
    with pytest.raises(KajiyaError) as failure:
        validate(folder, min_documents=5, max_chars=100, min_median_chars=100, licenses=("MIT",))
    failed = re.findall(r"^  (\w+): ", str(failure.value), re.MULTILINE)
    assert failed == ["document_count", "license_allowed", "text_length", "median_length"]


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
    expectation = gxe.ExpectColumnValuesToNotBeNull(
        column="missing", meta={"name": "absent_column"}, description="…"
    )
    frame = pl.DataFrame({"row": [0], "id": ["a:1"]})
    with pytest.raises(KajiyaError, match=r"could not be evaluated(?s:.*)absent_column: .*missing"):
        Examiner(tmp_path, 5).examine("documents", frame, [expectation])


def test_features_count_what_their_names_say():
    texts = ["日本の ab", "", "call 090-1234-5678 or a@b.example.org", "2024-01-05 と 10-20-3000"]
    frame = features(
        pl.DataFrame([document(i, text) for i, text in enumerate(texts)], schema_overrides={"date": pl.Date})
    )
    assert frame["characters"].to_list() == [6, 0, 37, 23]
    assert frame["personal_data"].to_list() == [0, 0, 2, 0]
    assert frame["japanese_share"].to_list() == [0.6, None, None, pytest.approx(1 / 21)]
    assert frame["id_prefix"].unique().to_list() == ["wikipedia"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("電話03-1234-5678まで", 1),
        ("０３－１２３４－5678", 1),
        ("(03) 1234-5678", 1),
        ("（０４５）123-4567", 1),
        ("0120-123-456または090-1234-5678", 2),
        ("080 1234 5678", 1),
        ("+81 3 1234 5678", 1),
        ("taro＠example.ne.jp", 1),
        ("02-03-2024", 0),
        ("2024-01-05", 0),
        ("978-4-06-123456-7", 0),
        ("〒100-0001", 0),
        ("<phone>、<email>", 0),
        ("@decorator.name", 0),
    ],
)
def test_personal_data_is_told_from_other_numbers(text, count):
    frame = features(pl.DataFrame([document(1, text)], schema_overrides={"date": pl.Date}))
    assert frame["personal_data"].to_list() == [count]


def test_rows_count_over_all_shards(corpus):
    documents = describe_documents(corpus())
    assert documents["id"].to_list() == [f"wikipedia:{i}" for i in range(4)]
    assert documents["row"].to_list() == [0, 1, 2, 3]


def test_stage_from_the_command_line_stops_with_the_reason(corpus, tmp_path):
    corpus(document(7, "機械が書いた文書である。" * 5, generator="gpt-4"))
    (tmp_path / "params.yaml").write_text("validate: {}\n")
    command = [sys.executable, "-m", "components.validate", "decontaminated", "validated"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: validate: the corpus fails 1" in done.stderr
    assert "generator_allowed" in done.stderr
    assert "gpt-4" in done.stderr
    assert "Traceback" not in done.stderr


def test_schema_of_the_features_covers_every_required_column():
    required = {field.name for field in DOCUMENT if not field.nullable} - {"text"}
    frame = features(pl.DataFrame([document(1, TEXTS[0])], schema_overrides={"date": pl.Date}))
    assert required <= set(frame.columns)
