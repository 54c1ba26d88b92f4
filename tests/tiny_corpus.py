"""A few hundred short documents in two languages, and a tokenizer trained on them."""

import itertools
from pathlib import Path

from components.tokenizer import run as run_tokenizer
from components.tokenizer.sample import Sample
from components.tokenizer.settings import TokenizerSettings
from kajiya.shards import write_dataset

PLACES = ["松山", "高松", "仙台", "札幌", "那覇", "金沢", "京都", "長崎"]
THINGS = ["みかん", "うどん", "牛たん", "ラーメン", "とうふ", "カステラ", "お茶", "りんご"]
SENTENCES = [
    "{place}は{thing}で知られる町です。",
    "先週、{place}まで出かけて{thing}を食べました。\n  とてもおいしかった。",
    "{thing}の値段は{number}円になり、{place}の店は「高い」と言った。",
    "Visitors to the old town of {place} buy {number} boxes of {thing}.",
]


def texts() -> list[str]:
    combinations = itertools.product(SENTENCES, PLACES, THINGS)
    return [
        sentence.format(place=place, thing=thing, number=100 + 7 * i)
        for i, (sentence, place, thing) in enumerate(combinations)
    ]


def documents() -> list[dict]:
    """Sources `wiki` (3 of 4 documents) and `web`."""
    return [
        {
            "id": f"{source}:{i}",
            "source": source,
            "text": text,
            "license": "CC0-1.0",
            "generator": "human",
            "language": "ja",
        }
        for i, text in enumerate(texts())
        for source in ["web" if i % 4 == 0 else "wiki"]
    ]


def write_corpus(folder: Path, shard_bytes: int = 1 << 20) -> Path:
    write_dataset(documents(), folder, shard_bytes=shard_bytes)
    return folder


def write_tokenizer(folder: Path, corpus: Path) -> Path:
    nothing = folder.parent / "none"
    nothing.mkdir(exist_ok=True)
    folder.mkdir(parents=True)
    run_tokenizer(
        TokenizerSettings(vocabulary_size=440, check_strings=200, longest_indentation=0),
        corpus,
        nothing,
        out=folder,
    )
    return folder


def as_sample(folder: Path, sentences: list[str]) -> Sample:
    """The sentences as if they had been drawn."""
    file = folder / "sample.txt"
    file.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8", newline="\n")
    return Sample([file], len(sentences), sum(map(len, sentences)))
