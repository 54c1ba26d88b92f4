"""A handful of items of every evaluation set, in the forms of their publishers, and those forms as the hub has them."""

import json
from pathlib import Path

CITIES = ["松山市", "高松市", "青森市", "信濃川", "うどん"]
LABELS = ["entailment", "contradiction", "neutral", "entailment"]
ARTICLE = "愛媛県の松山市で新しい橋ができた。長さは百メートルで、川の両岸をつなぐ。市長は喜んでいる。"


def question(number: int, text: str) -> dict:
    choices = {f"choice{k}": CITIES[(k + number) % 5] for k in range(5)}
    return {"q_id": number, "question": text, **choices, "label": number % 5}


QUESTIONS = [question(10 + k, f"第{k}の県庁所在地はどこですか。") for k in range(6)]
PAIRS = [
    {"sentence_pair_id": str(k), "sentence1": f"川{k}が長い。", "sentence2": "川がある。", "label": label}
    for k, label in enumerate(LABELS)
]
REVIEWS = [
    {"review_id": f"R{k}", "text": f"この商品{k}は使いやすい。", "label": label}
    for k, label in enumerate(["positive", "negative", "positive", "negative", "positive"])
]
CONTEXT = "川 [SEP] 日本で一番長い川は信濃川である。"
ANSWERS = [{"text": "信濃川", "answer_start": CONTEXT.index("信濃川")}]
PASSAGES = [
    {"id": str(k), "title": "川", "text": f"川{k}は長い。", "score": "1.0", "has_answer": k == 1}
    for k in range(7)
]
QUIZZES = [
    {
        "qid": f"AIO-{k}",
        "question": f"川{k}の名は何か。",
        "answers": ["信濃川", "千曲川"],
        "ctxs": PASSAGES[: 7 * (k < 3) or 1],
    }
    for k in range(4)
]
"""The last one is answered by none of its passages."""
NEWS = [
    {"id": f"n{k}", "title": "橋", "text": f"第{k}報。{ARTICLE}", "summary": f"松山市で第{k}の橋ができた。"}
    for k in range(3)
]
SENTENCES = [
    {
        "sentence1": f"りんご{k}は赤いので食べた。",
        "sentence2": f"かご{k}は赤いので食べた。",
        "answer": 1 + k % 2,
    }
    for k in range(4)
]
PROBLEMS = [
    (f"川が{k}本と{k + 1}本あります。合わせて何本ですか。", f"{1000 + 2 * k + 1:,}") for k in range(6)
]
SOLVED = [
    {"question": f"How many are {k} and 1?", "answer": f"{k}+1 = <<{k}+1={k + 1}>>{k + 1}.\n#### {k + 1}"}
    for k in range(6)
]
SQUAD = {"data": [{"title": "川", "paragraphs": [{"context": CONTEXT, "qas": [
    {"id": f"q{k}", "question": f"長い川{k}は何か。", "answers": ANSWERS} for k in range(3)
]}]}]}  # fmt: skip
ARC = [
    {"id": f"arc{k}", "question": {"stem": f"The river {k} runs to the", "choices": [
        {"text": "sea", "label": "A"}, {"text": "mountains", "label": "B"}]}, "answerKey": "AB"[k % 2]}
    for k in range(3)
]  # fmt: skip


def write_lines(path: Path, records: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def write_published(folder: Path) -> Path:
    """Every set, each file named and shaped as its publisher does."""
    write_lines(folder / "jglue" / "jcommonsenseqa" / "valid-v1.3.json", QUESTIONS)
    write_lines(folder / "jglue" / "jnli" / "valid-v1.3.json", PAIRS)
    write_lines(folder / "jglue" / "marc_ja" / "valid-v1.0.json", REVIEWS)
    texts = {
        "jglue/jsquad/valid-v1.3.json": json.dumps(SQUAD),
        "jaqket_v2/dev_jaqket_59.350.json": json.dumps(QUIZZES),
        "mgsm/mgsm_ja.tsv": "".join(f"{text}\t{number}\n" for text, number in PROBLEMS),
        "mgsm/mgsm_en.tsv": "".join(f"How many are {k} and {k}?\t{2 * k}\n" for k in range(1, 7)),
        "jmmlu/high_school_geography.csv": "長い川は？,信濃川,うどん,松山市,高松市,A\n市は？,川,松山市,海,山,B\n",
        "jmmlu/astronomy.csv": 'question,A,B,C,D,answer\n"赤い,果物は？",りんご,川,海,山,A\n',
        "jglue/LICENSE": "CC BY-SA 4.0",
        "gsm8k/SOURCE.txt": "from its authors",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    write_lines(folder / "xlsum_ja" / "japanese_test.jsonl", NEWS)
    write_lines(folder / "xwinograd_ja" / "test.jsonl", SENTENCES)
    write_lines(folder / "gsm8k" / "test.jsonl", SOLVED)
    write_lines(folder / "arc" / "test.jsonl", ARC)
    return folder


_NLI, _POLARITY = ["entailment", "contradiction", "neutral"], ["positive", "negative"]
HUB = {
    "jcommonsenseqa": QUESTIONS,
    "jnli": [pair | {"label": _NLI.index(pair["label"])} for pair in PAIRS],
    "marc_ja": [{"sentence": one["text"], "label": _POLARITY.index(one["label"])} for one in REVIEWS],
    "jsquad": [
        {"context": CONTEXT, "question": one["question"], "answers": {"text": ["信濃川"]}}
        for one in SQUAD["data"][0]["paragraphs"][0]["qas"]
    ],
    "jaqket_v2": [
        {"question": one["question"], "answers": {"text": one["answers"]}, "ctxs": {"text": [f"川{k}は長い。" for k in range(5)]}}
        for one in QUIZZES[:3]
    ],
    "xlsum_ja": [{"text": one["text"], "summary": one["summary"]} for one in NEWS],
    "xwinograd_ja": [one | {"answer": str(one["answer"])} for one in SENTENCES],
    "mgsm": [
        {"question": text, "answer": number.replace(",", ""), "answer_number": int(number.replace(",", ""))}
        for text, number in PROBLEMS
    ],
    "gsm8k": SOLVED,
}  # fmt: skip
"""The same items with the fields of the hub's data sets, which lm-eval's own task files read."""
