"""ROUGE-2 of Japanese: F1 of the pairs of neighbouring words, as MeCab with UniDic parts them (Lin 2004).

XLSum-ja's published scores count words; characters would give other, higher figures. The dictionary takes
250 MB on disk, for one task of eight, so it comes with the extra `xlsum`.
"""

import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any

from kajiya.errors import KajiyaError


def rouge2(right: str, answer: str) -> float:
    """0 where either has fewer than two words."""
    ours, theirs = Counter(pairwise(words(answer))), Counter(pairwise(words(right)))
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total()) if common else 0.0


def words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text)
    return [str(word.surface) for word in tagger()(" ".join(folded.split()))]


@cache
def tagger() -> Any:
    """MeCab with UniDic. Raises KajiyaError where the extra is not installed."""
    try:
        import unidic_lite  # noqa: F401, PLC0415  (the extra `xlsum`)
        from fugashi import Tagger  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise KajiyaError(
            f"evaluate: xlsum_ja counts words, which needs `{error.name}`. Install it with `pip install"
            " kajiya[xlsum]`, or skip the task with a reason (evaluate.skip)."
        ) from None
    return Tagger("-Owakati")
