"""Prove the fast form on strings of the corpus: it equals SentencePiece's, loses nothing, changes nothing old."""

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray
from tokenizers import Tokenizer

from kajiya.engine import map_shards
from kajiya.errors import KajiyaError
from kajiya.lm.export import adds_exactly, normal_scores, read_proto
from kajiya.lm.tokenizer import differences, encode_documents
from kajiya.shards import read_shard

# Short enough that a small corpus gives thousands of them, long enough for some sentences.
_STRING_CHARACTERS = 120

# What no corpus may hold, and every user types one day.
HARD_STRINGS = (
    "", " ", "  二つの空白", "末尾 ", "\n", "\n\n\n", "\t", "a\r\nb", "▁", " ▁ ", "😀𠮟𩸽", "e\u0301", "か\u3099",
    "\x00", "</s>", "<unk><pad>", "<0x0A>", "<0xE3>。", "<|user|>", "<|assistant|>答え</s>",
    "。。", "。\n。", "12,345", " " * 40, "-" * 37 + "=" * 21, "…" * 19, "１２３", "\u200b\ufeff", "\u2585", "ｱｲｳ",
    "٣", "한국어", "עברית", "def f(x):\n    if x:\n\t\treturn 1\n", "a\t1\n\tb\t\t2",
    "|  品名 |   価格|\n|---|--:|", "\t" * 11, "ああああああああああ",
)  # fmt: skip


def check_strings(shards: list[Path], documents: int, wanted: int, seed: int) -> dict[str, list[str]]:
    """About `wanted` strings by source: pieces of documents, both chosen by hash."""
    share, pieces = min(1.0, wanted / max(1, documents)), math.ceil(wanted / max(1, documents))
    strings: dict[str, list[str]] = defaultdict(list)
    tasks = [(shard, share, pieces, seed) for shard in shards]
    for part in map_shards(_strings_of_shard, tasks, "tokenizer: strings"):
        for source, text in part:
            strings[source].append(text)
    return dict(sorted(strings.items()))


def check_identity(model: bytes, tokenizer: Tokenizer, strings: dict[str, list[str]]) -> dict[str, int]:
    """Raise KajiyaError when one string is encoded otherwise than by SentencePiece.

    Only ties may differ, and only in a foreign model whose scores do not add exactly: where two ways
    through a text are equally good, the rounding of SentencePiece's float32 sums decides, not the model.
    """
    texts = [*HARD_STRINGS, *(text for part in strings.values() for text in part)]
    different = differences(model, tokenizer, texts)
    proto = read_proto(model)
    ties = [] if adds_exactly(proto) else [one for one in different if _is_tie(one, normal_scores(proto))]
    different = [one for one in different if one not in ties]
    if different:
        text, expected, found = different[0]
        raise KajiyaError(
            f"the fast tokenizer differs from SentencePiece on {len(different)} of {len(texts)} strings. "
            f"First: {text!r}\n  SentencePiece: {expected}\n  fast:          {found}\n"
            "A defect of kajiya/lm/export.py or of the installed tokenizers; nothing was published."
        )
    return {
        "strings": len(texts),
        "differences": 0,
        **({"ties_rounded_otherwise": len(ties)} if ties else {}),
    }


def _is_tie(difference: tuple[str, list[int], list[int]], scores: NDArray[np.float64]) -> bool:
    """Whether the two ways score alike, as far as a float32 sum over so many pieces can tell."""
    _, expected, found = difference
    totals = scores[expected].sum(), scores[found].sum()
    rounding = float(np.finfo(np.float32).eps) * len(expected) * abs(totals[0])
    return bool(abs(totals[0] - totals[1]) <= rounding)


def check_round_trip(tokenizer: Tokenizer, strings: dict[str, list[str]]) -> None:
    """Raise KajiyaError when a text does not come back from its tokens (only ▁ turns into a space)."""
    texts = [*HARD_STRINGS, *(text for part in strings.values() for text in part)]
    for text, ids in zip(texts, encode_documents(tokenizer, texts), strict=True):
        if (back := tokenizer.decode(ids.tolist())) != text.replace("▁", " "):
            raise KajiyaError(f"the tokenizer loses text: {text!r} comes back as {back!r}.")


def check_one_tokenizer(converted: Tokenizer, own: Tokenizer, texts: list[str], base: Path) -> None:
    """Raise KajiyaError when a base's tokenizer.json cuts a text otherwise than its tokenizer.model.

    The model was trained on what the first says, and the extension is built from the second.
    """
    encoded = (encode_documents(one, texts) for one in (own, converted))
    different = [
        (text, theirs.tolist(), ours.tolist())
        for text, theirs, ours in zip(texts, *encoded, strict=True)
        if theirs.tolist() != ours.tolist()
    ]
    if different:
        text, theirs, ours = different[0]
        raise KajiyaError(
            f"{base}: tokenizer.json encodes {len(different)} of {len(texts)} texts otherwise than tokenizer.model, so "
            f"an extension of the second would not be one of the first. First: {text!r}\n"
            f"  tokenizer.json:  {theirs}\n  tokenizer.model: {ours}\n"
            "Set `tokenizer.kind: take`, or take tokenizer.json away if the model was trained with the other."
        )


def check_unchanged(before: Tokenizer, after: Tokenizer, texts: list[str]) -> dict[str, int]:
    """Raise KajiyaError when the extended tokenizer encodes a text without Japanese otherwise than its base."""
    pairs = zip(texts, encode_documents(before, texts), encode_documents(after, texts), strict=True)
    if different := [text for text, old, new in pairs if old.tolist() != new.tolist()]:
        raise KajiyaError(
            f"the extended tokenizer changes {len(different)} of {len(texts)} texts that hold no new piece. First: "
            f"{different[0]!r}. A defect of components/tokenizer/extend.py; nothing was published."
        )
    return {"strings": len(texts), "differences": 0}


def _strings_of_shard(task: tuple[Path, float, int, int]) -> list[tuple[str, str]]:
    shard, share, pieces, seed = task
    columns = read_shard(shard).select(["id", "source", "text"]).to_pydict()
    strings = []
    for identity, source, text in zip(*columns.values(), strict=True):
        number = xxhash.xxh3_64_intdigest(f"{seed}:check:{identity}".encode())
        if number < share * 2**64:
            strings += [(source, piece) for piece in _cut(text, number, pieces)]
    return strings


def _cut(text: str, number: int, pieces: int) -> list[str]:
    """Up to `pieces` neighbouring pieces of `text`, beginning anywhere, even inside a word."""
    start = number % max(1, len(text) - pieces * _STRING_CHARACTERS)
    ends = range(start, min(len(text), start + pieces * _STRING_CHARACTERS), _STRING_CHARACTERS)
    return [text[at : at + _STRING_CHARACTERS] for at in ends]
