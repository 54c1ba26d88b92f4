"""Characters per token and byte tokens, of any tokenizer on any text."""

import gzip
import json
import re

import pytest
from tiny_base import write_base
from tiny_corpus import texts, write_corpus, write_tokenizer
from typer.testing import CliRunner

from kajiya.cli import app
from kajiya.errors import KajiyaError
from kajiya.lm.fertility import fertility, open_counter
from kajiya.text_sample import sample_texts


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    corpus = write_corpus(root / "corpus")
    return {
        "corpus": corpus,
        "ours": write_tokenizer(root / "tokenizer", corpus),
        "english": write_base(root / "base"),
    }


def test_characters_and_bytes_are_counted_per_source_and_in_all(world):
    counter = open_counter(world["english"])
    figures = fertility(counter, {"ja": ["町町"], "en": ["the town"], "all": [""]})
    assert figures["ja"] == {"characters_per_token": round(2 / 7, 4), "byte_token_share": round(6 / 7, 6)}
    assert figures["en"]["byte_token_share"] == 0
    tokens = 8 / figures["en"]["characters_per_token"]
    assert figures["all"]["characters_per_token"] == pytest.approx(10 / (7 + tokens), abs=1e-4)
    assert figures["all (source)"]["characters_per_token"] == 0


def test_both_forms_of_a_tokenizer_count_alike(world):
    folder, model = open_counter(world["ours"]), open_counter(world["ours"] / "tokenizer.model")
    sample = {"web": texts()}
    assert fertility(folder, sample) == fertility(model, sample)
    assert folder.pieces == model.pieces == 440


def test_command_shows_tokenizers_beside_each_other(world):
    words = [
        "fertility",
        f"ours={world['ours']}",
        f"english={world['english']}",
        "--on",
        str(world["corpus"]),
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert re.search(r"^source +characters +ours +english", done.output)
    rows = {line.split()[0]: line for line in done.output.splitlines() if line}
    ours, english = (float(word) for word in re.findall(r"(\d\.\d{3}) \(", rows["all"]))
    assert ours > 2 * english
    assert re.search(r"440 +420", rows["pieces"])


def test_command_writes_a_page(world, tmp_path):
    words = [
        "fertility",
        str(world["ours"]),
        "--on",
        str(world["corpus"]),
        "--html",
        str(tmp_path / "f.html"),
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert re.search(r"^source +characters", done.output), "the table stands in the terminal as well"
    page = (tmp_path / "f.html").read_text(encoding="utf-8")
    assert "<h2>wiki" in page
    assert 'class="bar"' in page


@pytest.mark.parametrize("words", [["no/such/folder"], ["a=x", "a=y"]], ids=["absent", "same name"])
def test_command_refuses_what_it_cannot_compare(world, words):
    done = CliRunner().invoke(app, ["fertility", *words, "--on", str(world["corpus"])])
    assert done.exit_code == 2


def test_text_is_read_from_any_form_with_a_source_by_file(tmp_path):
    (tmp_path / "a.txt").write_text("一つ", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "二つ"}) + "\n", encoding="utf-8")
    with gzip.open(tmp_path / "c.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.write(json.dumps({"text": "三つ"}) + "\n")
    (tmp_path / "d.md").write_text("四つ", encoding="utf-8")
    assert sample_texts([tmp_path], 100) == {"a": ["一つ"], "b": ["二つ"], "c": ["三つ"]}


def test_sample_is_bounded_and_does_not_depend_on_the_order(tmp_path):
    lines = [json.dumps({"text": f"{number:04}" * 10}) for number in range(500)]
    for name, order in (("one", lines), ("two", lines[::-1])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "web.jsonl").write_text("\n".join(order), encoding="utf-8")
    one, two = (sample_texts([tmp_path / name], 2000)["web"] for name in ("one", "two"))
    assert one == two
    assert sum(map(len, one)) == 2000
    assert one != [json.loads(line)["text"] for line in lines[:50]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "x"}\n{"body": 1}\n', r"a\.jsonl:2: not a JSON object with the key `text`"),
        ("a.jsonl", '{"text": 1}\n', r"a\.jsonl:1: `text` is no string"),
        ("a.pdf", "x", "not a form of text"),
        ("a.txt", "", "no text in"),
    ],
)
def test_text_that_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(KajiyaError, match=message):
        sample_texts([tmp_path / name], 100)
