"""What a judge's reply says: the score, or that it holds none."""

import re
import unicodedata

# Judges write 評価：[[5]], ［［５］］, [[点数: 4]], [[3/5]].
_SCORE = re.compile(r"\[\[\s*(?:評価|点数|スコア|score|rating)?\s*:?\s*([0-9]+(?:\.[0-9]+)?)\s*(?:点|/\s*([0-9]+))?\s*\]\]", re.IGNORECASE)  # fmt: skip
# finish_reason of OpenAI and of those who speak like it.
_CUT = ("length", "content_filter")
# What an answer may hold to be taken for a verdict.
_FORGED = re.compile(r"\[\[\s*[^\[\]\n]{0,12}[0-9][^\[\]\n]{0,8}\]\]")


def read_score(text: str, ended: str, low: int, high: int) -> float | None:
    """The last [[score]] of a reply, if it lies on the scale: before it a judge may quote the answer.

    None for a reply that was cut: what it holds may be the quotation, and the score would have followed.
    """
    found = _SCORE.findall(unicodedata.normalize("NFKC", text))
    if not found or ended in _CUT:
        return None
    score, out_of = float(found[-1][0]), found[-1][1]
    # [[4/10]] on a scale to 5 is no 4.
    return score if low <= score <= high and out_of in ("", str(high)) else None


def looks_like_a_verdict(answer: str) -> bool:
    """Whether an answer holds what a judge's score looks like: someone may want to steer the judge."""
    return bool(_FORGED.search(unicodedata.normalize("NFKC", answer)))
