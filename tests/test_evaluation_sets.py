"""The readers of evaluation sets: what an item is, and which line of which file is wrong."""

import hashlib
import json
from pathlib import Path

import pytest

from kajiya.errors import KajiyaError
from kajiya.evaluation_sets import list_sets, list_splits, load_set

QUESTION = {"q_id": 3, "question": "空の色は？", "label": 1} | {
    f"choice{i}": c for i, c in enumerate("赤青黄緑黒")
}
PAIR = {
    "sentence_pair_id": "5",
    "sentence1": "犬が走る。",
    "sentence2": "動物が走る。",
    "label": "entailment",
}
REVIEW = {"review_id": "R1", "text": "とてもよい品でした。", "label": "positive"}
CONTEXT = "梅雨 [SEP] 梅雨は五月から七月にかけての雨の多い時期である。"
ANSWER = {"text": "雨の多い時期", "answer_start": CONTEXT.index("雨の多い")}
SQUAD = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [
    {"id": "a0", "question": "梅雨とは？", "answers": [ANSWER]},
    {"id": "a1", "question": "梅雨はいつ？", "answers": [{"text": "五月から七月", "answer_start": CONTEXT.index("五月")}]},
]}]}]}  # fmt: skip


def write(folder: Path, name: str, *lines: object, split: str = "valid-v1.3") -> Path:
    path = folder / name / f"{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "\n".join(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in lines),
        encoding="utf-8",
    )
    return path


def test_set_carries_version_split_and_hash_of_its_file(tmp_path):
    path = write(tmp_path, "jnli", PAIR | {"yjcaptions_id": "1-2"}, "")
    loaded = load_set(tmp_path, "jnli", "valid")
    assert (loaded.name, loaded.split, loaded.version) == ("jnli", "valid", "v1.3")
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [(item.id, item.label) for item in loaded.items] == [("5", "entailment")]


def test_squad_set_gives_one_item_per_question_and_each_context_once(tmp_path):
    write(tmp_path, "jsquad", json.dumps(SQUAD, ensure_ascii=False, indent=1))
    loaded = load_set(tmp_path, "jsquad", "valid")
    assert [(item.id, item.title, item.answers[0].text) for item in loaded.items] == [
        ("a0", "梅雨", "雨の多い時期"),
        ("a1", "梅雨", "五月から七月"),
    ]
    body = CONTEXT.removeprefix("梅雨 [SEP] ")
    assert list(loaded.passages()) == [("a0", "梅雨とは？"), ("a0", body), ("a1", "梅雨はいつ？")]


def test_sets_and_splits_are_listed_in_order(tmp_path):
    write(tmp_path, "marc_ja", REVIEW, split="valid-v1.2")
    train = write(tmp_path, "marc_ja", REVIEW, split="train-v1.2")
    write(tmp_path, "english", {"text": "A page."})
    assert list_sets(tmp_path) == ["english", "marc_ja"]
    assert list(list_splits(tmp_path, "marc_ja")) == ["train", "valid"]
    assert list_splits(tmp_path, "marc_ja")["train"] == train
    assert load_set(tmp_path, "english", "valid").items[0].id == "1"
    assert load_set(tmp_path, "english", "valid").language == "en"


CHOICE = {"question": "The capital of France is", "choices": ["Rome", "Paris"], "label": 1}


def test_set_of_another_name_is_multiple_choice_or_texts_by_its_fields(tmp_path):
    write(tmp_path, "arc", CHOICE | {"id": 7}, CHOICE | {"subject": "geography"})
    write(tmp_path, "novels", {"text": "吾輩は猫である。"})
    arc, novels = (load_set(tmp_path, name, "valid") for name in ("arc", "novels"))
    assert [(item.id, item.choices, item.label) for item in arc.items] == [
        ("7", ("Rome", "Paris"), 1),
        ("2", ("Rome", "Paris"), 1),
    ]
    assert list(arc.passages()) == [("7", "The capital of France is Paris")]
    assert [item.text for item in novels.items] == ["吾輩は猫である。"]
    assert (arc.language, novels.language) == ("en", "ja")


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("arc", [CHOICE, CHOICE | {"label": 2}], ":2: record: .*label 2, but the last .* is number 1"),
        ("arc", [CHOICE | {"choices": ["Rome"]}], ":1: choices"),
        ("arc", [CHOICE | {"choices": ["Rome", ""]}], "an empty choice"),
        (
            "arc",
            [CHOICE | {"choices": {"text": ["Rome", "Paris", "Oslo"], "label": ["A", "B"]}}],
            ":1: choices: 3 under `text` and 2 under `label`",
        ),
        ("jcommonsenseqa", [QUESTION, "{broken"], "valid-v1.3.json:2: invalid JSON"),
        (
            "jcommonsenseqa",
            [QUESTION | {"label": 5}],
            "valid-v1.3.json:1: label: .*less than or equal to 4.*found 5",
        ),
        (
            "jcommonsenseqa",
            [{k: v for k, v in QUESTION.items() if k != "choice4"}],
            ":1: choice4: Field required",
        ),
        ("jcommonsenseqa", [QUESTION, QUESTION], r":2: two items have the id 3: this one and .*json:1"),
        ("jnli", ["", PAIR | {"label": "maybe"}], ":2: label: .*'entailment'.*found 'maybe'"),
        ("marc_ja", [REVIEW | {"text": ""}], ":1: text"),
        ("marc_ja", ["[]"], ":1: record"),
        ("jnli", [[PAIR] * 90], r":1: record: expected one JSON object a line, found .{80}\.{4} See"),
        ("jnli", ["["], ":1: invalid JSON: .* one JSON object a line"),
        ("jnli", [PAIR | {"label": "maybe" * 90}], r":1: label: .*found .{80}\.\.\.\)"),
        ("marc_ja", [""], "no items"),
        ("jsquad", ['{"data": [\n{"paragraphs": [}'], "valid-v1.3.json:2: invalid JSON"),
        ("jsquad", [{"data": [{}]}], r"data\[0\]: expected a list `paragraphs`"),
        (
            "jsquad",
            [json.dumps(SQUAD).replace(str(ANSWER["answer_start"]), "1")],
            r"data\[0\].paragraphs\[0\].qas\[0\]: the answer .* does not stand at 1",
        ),
    ],
)
def test_wrong_item_is_named_by_file_and_place(tmp_path, name, lines, message):
    write(tmp_path, name, *lines)
    with pytest.raises(KajiyaError, match=message):
        load_set(tmp_path, name, "valid")


def test_file_that_is_not_utf8_is_named_by_line(tmp_path):
    path = write(tmp_path, "marc_ja", REVIEW)
    path.write_bytes(path.read_bytes() + b"\n" + "品".encode("cp932"))
    with pytest.raises(KajiyaError, match=r"valid-v1.3.json:2: not UTF-8"):
        load_set(tmp_path, "marc_ja", "valid")


def test_unknown_names_list_what_there_is(tmp_path):
    write(tmp_path, "jnli", PAIR)
    with pytest.raises(KajiyaError, match=r"no evaluation set `marc_ja`\. There are: jnli"):
        load_set(tmp_path, "marc_ja", "valid")
    with pytest.raises(KajiyaError, match=r"no split `train`\. There are: valid"):
        load_set(tmp_path, "jnli", "train")
    write(tmp_path, "jnil", PAIR)
    with pytest.raises(KajiyaError, match=r"jnil: unknown evaluation set\. Known: jcommonsenseqa"):
        list_sets(tmp_path)


def test_second_version_of_a_split_is_refused(tmp_path):
    write(tmp_path, "jnli", PAIR)
    write(tmp_path, "jnli", PAIR, split="valid-v1.2")
    with pytest.raises(KajiyaError, match="a second version"):
        load_set(tmp_path, "jnli", "valid")
    (tmp_path / "jnli" / "valid-v1.2.json").unlink()
    write(tmp_path, "marc_ja", REVIEW, split="reviews")
    with pytest.raises(KajiyaError, match=r"name it <split>-<version>\.json"):
        load_set(tmp_path, "marc_ja", "valid")
