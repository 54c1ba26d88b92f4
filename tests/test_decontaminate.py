"""Rules of decontaminate: what holds an evaluation item goes, whatever its spelling, and nothing else."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from corpus_folders import kept, output_bytes, rejected, write_source

from components.decontaminate import DecontaminateSettings, run
from components.decontaminate.cut import sentences
from kajiya.errors import KajiyaError
from kajiya.evaluation_items import Text
from kajiya.evaluation_sets import EvaluationSet
from kajiya.overlap import OverlapSettings, overlap_of, watch
from kajiya.stage import execute

QUESTION = "田沢湖は、日本でいちばん深い湖として知られていますが、何県にありますか？"
CONTEXT = (
    "羽黒山 [SEP] 羽黒山は、山形県鶴岡市にある標高四百十四メートルの山である。"
    "月山、湯殿山とともに出羽三山と呼ばれ、修験道の山として知られる。"
)
SHORT = "猫の好きな魚の名前は？"
PROSE = "松山の町には路面電車が走っています。坂の上には城があり、晴れた日には瀬戸内海の島々まで見渡せます。"


@pytest.fixture
def evaluation_sets(tmp_path: Path) -> Path:
    folder = tmp_path / "evaluation"
    choices = {
        f"choice{i}": word for i, word in enumerate(["秋田県", "山形県", "岩手県", "青森県", "宮城県"])
    }
    questions = [
        {"q_id": 7, "question": QUESTION, "label": 0} | choices,
        {"q_id": 8, "question": SHORT, "label": 1} | choices,
        {"q_id": 9, "question": "犬は何？", "label": 1} | choices,
        {"q_id": 10, "question": "英語の「musical instrument」は何のことでしょうか", "label": 1} | choices,
    ]
    answers = [{"text": "山形県", "answer_start": CONTEXT.index("山形県")}]
    squad = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [
        {"id": "p0q0", "question": "羽黒山の標高は何メートルあると書かれていますか", "answers": answers},
        {"id": "p0q1", "question": "羽黒山のある市の名前を答えてください", "answers": answers},
    ]}]}]}  # fmt: skip
    english = {
        "text": "The lantern maker of the old harbour town kept a diary of every ship that passed his window."
    }
    for name, lines in {
        "jcommonsenseqa": questions,
        "jsquad": [squad],
        "english": [english],
    }.items():
        (folder / name).mkdir(parents=True)
        content = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
        (folder / name / "valid-v1.3.json").write_text(content, encoding="utf-8")
    return folder


def decontaminate(tmp_path: Path, evaluation_sets: Path, texts: dict[str, str], **settings):
    source = write_source(tmp_path / "deduped" / "web", texts)
    report = execute(run, DecontaminateSettings(**settings), [source, evaluation_sets], tmp_path / "out")
    return kept(tmp_path / "out"), rejected(tmp_path / "out"), report


@pytest.mark.parametrize(
    ("text", "item"),
    [
        (PROSE + QUESTION + PROSE, "jcommonsenseqa/valid-v1.3:7 1"),
        (
            PROSE + QUESTION.replace("、", "，").replace("？", "\n") + PROSE,
            "jcommonsenseqa/valid-v1.3:7 1",
        ),
        (PROSE + "問：" + "　".join(QUESTION), "jcommonsenseqa/valid-v1.3:7 1"),
        (CONTEXT.partition(" [SEP] ")[2].replace("。", "。\n"), "jsquad/valid-v1.3:p0q0 1"),
        (PROSE + "羽黒山のある市の名前を答えてください", "jsquad/valid-v1.3:p0q1 1"),
        (PROSE + SHORT, "jcommonsenseqa/valid-v1.3:8 1"),
        ("the LANTERN-maker of the old harbour town kept a diary of every ship", "english/valid-v1.3:1"),
    ],
)
def test_document_with_an_item_goes_and_names_it(tmp_path, evaluation_sets, text, item):
    stays, goes, _ = decontaminate(tmp_path, evaluation_sets, {"1": PROSE, "2": text})
    assert list(stays) == ["web:1"]
    reason, detail = goes["web:2"]
    assert reason == "evaluation_overlap"
    assert detail.startswith(item)


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        PROSE + "田沢湖は秋田県にあり、日本でいちばん深い湖です。",  # the fact, in other words
        PROSE + "犬は何？",  # an everyday phrase
        PROSE + "秋田県、山形県、岩手県、青森県、宮城県",  # choices alone
        PROSE + "猫の好きな魚の名",  # a part of a short item
        "This musical instrument is played in the harbour.",  # the English words of a Japanese item
        "He kept a diary of every ship he had sailed on.",
    ],
)
def test_document_without_an_item_stays(tmp_path, evaluation_sets, text):
    stays, goes, _ = decontaminate(tmp_path, evaluation_sets, {"1": PROSE, "2": text})
    assert (list(stays), goes) == (["web:1", "web:2"], {})


def test_share_of_an_item_decides_at_the_threshold(tmp_path, evaluation_sets):
    letters = "".join(c for c in CONTEXT.partition(" [SEP] ")[2] if c.isalnum())
    grams = len({letters[i : i + 13] for i in range(len(letters) - 12)})
    texts = {f"{n:02}": PROSE + letters[: 12 + n] + PROSE for n in range(1, grams + 1, 3)}
    _, goes, _ = decontaminate(tmp_path, evaluation_sets, texts, max_overlap=0.5)
    assert sorted(goes) == [f"web:{n:02}" for n in range(1, grams + 1, 3) if n / grams > 0.5]


def watched(texts: list[str], **settings):
    """Texts as a Japanese set."""
    items = tuple(Text(id=str(i), text=text) for i, text in enumerate(texts))
    return watch(OverlapSettings(**settings), [EvaluationSet("marc_ja", "valid", "v1.3", "", items)])


def test_ngrams_do_not_reach_from_one_document_into_the_next():
    looked_for = watched([QUESTION])
    halves = [QUESTION[:16], QUESTION[16:]]
    assert overlap_of(halves, looked_for, 0.3).worst_share.max() < 0.3
    assert overlap_of(["".join(halves)], looked_for, 0.3).worst_share.tolist() == [1.0]


def grams(text: str) -> set[str]:
    letters = "".join(c for c in text.lower() if c.isalnum())
    n = min(13, len(letters))
    return {letters[i : i + n] for i in range(len(letters) - n + 1)}


RARE = "𠮟るときは、まず落ち着いて、相手の話を最後まで聞くことが大切だといわれています。"


def test_overlap_equals_that_of_python_sets():
    items = [QUESTION, CONTEXT, QUESTION[5:] + CONTEXT, SHORT, RARE]
    documents = [
        PROSE,
        QUESTION[:30] + CONTEXT[20:60],
        "",
        CONTEXT * 2 + SHORT,
        SHORT + PROSE,
        "ab" + RARE[1:-9],
    ]
    shares = [[0.0] * len(items) for _ in documents]
    for d, document in enumerate(documents):
        letters = "".join(c for c in document.lower() if c.isalnum())
        for i, item in enumerate(items):
            shares[d][i] = sum(gram in letters for gram in grams(item)) / len(grams(item))
    found = overlap_of(documents, watched(items, min_chars=8), 0.3)
    assert found.worst_share == pytest.approx([max(row) for row in shares])
    assert found.text_share == pytest.approx([max(column) for column in zip(*shares, strict=True)])


def test_report_counts_items_and_documents_per_set(tmp_path, evaluation_sets):
    texts = {"1": PROSE, "2": QUESTION, "3": PROSE + QUESTION, "4": QUESTION[:16] + PROSE}
    texts["5"] = CONTEXT.partition(" [SEP] ")[2] + QUESTION
    _, _, report = decontaminate(tmp_path, evaluation_sets, texts)
    sets = report.figures["sets"]
    assert sets["jcommonsenseqa/valid-v1.3"] == {
        "items": {
            "all": 4,
            "too_short_to_look_for": 1,
            "touched": 1,
            "over_bound": 1,
            "touched_in_what_stays": 1,  # by document 4
            "over_bound_in_what_stays_together": 0,
        },
        "documents": {"touched": 4, "over_bound": 3, "dropped": 3, "cut": 0},
    }
    # Both questions ask about the one context that leaked.
    assert sets["jsquad/valid-v1.3"]["items"]["over_bound"] == 2
    assert sets["jsquad/valid-v1.3"]["documents"]["dropped"] == 1
    assert sets["english/valid-v1.3"]["documents"]["touched"] == 0
    assert report.figures["all_sets"] == {"touched": 4, "over_bound": 3, "dropped": 3, "cut": 0}
    assert report.flows["web"].model_dump() == {"came_in": 5, "out": 2, "rejected": {"evaluation_overlap": 3}}


def test_item_spread_over_documents_under_the_bound_is_told(tmp_path, evaluation_sets):
    texts = {"1": PROSE, "2": PROSE + QUESTION[:20], "3": QUESTION[14:] + PROSE}
    _, goes, report = decontaminate(tmp_path, evaluation_sets, texts, max_overlap=0.6)
    items = report.figures["sets"]["jcommonsenseqa/valid-v1.3"]["items"]
    assert goes == {}
    assert (items["over_bound"], items["over_bound_in_what_stays_together"]) == (0, 1)


LINES = f"{PROSE}\n問題。{QUESTION}答えは秋田県です。\n{QUESTION}\n{PROSE}"


def cuts(folder: Path) -> list[dict]:
    return [
        row for path in sorted(folder.glob("cuts/part-*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def test_cut_takes_the_covering_sentences_and_keeps_them_for_the_audit(tmp_path, evaluation_sets):
    stays, goes, report = decontaminate(
        tmp_path, evaluation_sets, {"1": PROSE, "2": LINES}, action="cut", min_left_chars=20
    )
    assert stays == {"web:1": PROSE, "web:2": f"{PROSE}\n問題。答えは秋田県です。\n{PROSE}"}
    assert goes == {}
    taken = cuts(tmp_path / "out")
    assert [LINES[cut["begin"] : cut["end"]] for cut in taken] == [QUESTION, f"{QUESTION}\n"]
    assert [cut["text"] for cut in taken] == [QUESTION, f"{QUESTION}\n"]
    assert {(cut["id"], cut["set"], cut["item"]) for cut in taken} == {
        ("web:2", "jcommonsenseqa/valid-v1.3", "7")
    }
    assert report.figures["all_sets"] == {"touched": 1, "over_bound": 1, "dropped": 0, "cut": 1}
    assert report.flows["web"].model_dump() == {"came_in": 2, "out": 2, "rejected": {}}


def test_what_a_cut_leaves_is_under_the_bound(tmp_path, evaluation_sets):
    """Taking the middle out brings the two halves of another item together: they go too."""
    halves = QUESTION.partition("知られていますが")[0], "".join(QUESTION.partition("知られていますが")[1:])
    text = f"{PROSE}\n{halves[0]}{CONTEXT.partition(' [SEP] ')[2]}{halves[1]}\n{PROSE}"
    settings = {"action": "cut", "min_left_chars": 20, "max_overlap": 0.75}
    stays, _, _ = decontaminate(tmp_path, evaluation_sets, {"1": text}, **settings)
    again = decontaminate(tmp_path / "again", evaluation_sets, {"1": stays["web:1"]}, max_overlap=0.75)
    assert again[1] == {}
    assert stays["web:1"].startswith(PROSE)
    assert stays["web:1"].endswith(PROSE)


def test_document_of_which_a_cut_leaves_too_little_is_dropped_whole(tmp_path, evaluation_sets):
    texts = {"1": PROSE, "2": f"次の問題です。{QUESTION}"}
    stays, goes, report = decontaminate(tmp_path, evaluation_sets, texts, action="cut", min_left_chars=20)
    assert list(stays) == ["web:1"]
    assert goes == {"web:2": ("too_short_after_cut", "jcommonsenseqa/valid-v1.3:7 7")}
    assert cuts(tmp_path / "out") == []
    assert report.figures["all_sets"] == {"touched": 1, "over_bound": 1, "dropped": 1, "cut": 0}


def test_sentences_are_the_whole_text_in_pieces():
    text = "雨だ。「そうか。」と言った。\n\nHe left. She did not! \n終わり"
    assert [text[begin:end] for begin, end in sentences(text)] == [
        "雨だ。", "「そうか。」", "と言った。", "\n", "\n", "He left. ", "She did not! ", "\n", "終わり",
    ]  # fmt: skip


@pytest.mark.parametrize("action", ["drop", "cut"])
def test_decontaminate_with_more_workers_writes_the_same_bytes(
    tmp_path, evaluation_sets, monkeypatch, action
):
    texts = {str(i): f"{i}番目。{PROSE}{QUESTION if i % 3 == 0 else ''}" for i in range(20)}
    source = write_source(tmp_path / "deduped" / "web", texts, shard_bytes=1500)
    outputs = []
    for workers in ("1", "2"):
        monkeypatch.setenv("KAJIYA_WORKERS", workers)
        out = tmp_path / workers / "out"
        execute(run, DecontaminateSettings(action=action, min_left_chars=20), [source, evaluation_sets], out)
        outputs.append(output_bytes(out))
    assert outputs[0] == outputs[1]


def test_corpus_that_is_the_evaluation_set_is_an_error(tmp_path, evaluation_sets):
    with pytest.raises(KajiyaError, match="no document is left"):
        decontaminate(tmp_path, evaluation_sets, {"1": QUESTION})
