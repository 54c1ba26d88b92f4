"""What is wrong with extracted text, and how much of the prose is lost, judged without our own parser."""

import re

DEFECTS = {
    "table": re.compile(r"\{\||\|\}|^\|-|\|\||^[|!]", re.MULTILINE),
    "link": re.compile(r"\[\[|\]\]"),
    "template": re.compile(r"\{\{|\}\}"),
    "tag": re.compile(
        r"</?(?:ref|br|div|span|poem|math|gallery|nowiki|small|sup|sub|center|table|t[rdh]|ul|ol|li|code|blockquote|"
        r"syntaxhighlight|source|timeline|score|u|s|b|i|p|big|font)\b[^<>\n]*>|<!--",
        re.IGNORECASE,
    ),
    "quotes": re.compile(r"'''|(?<!')''(?!')"),
    "heading": re.compile(r"^=+[^=\n]+=+[ \t]*$", re.MULTILINE),
    "list mark": re.compile(r"^[*#:;]+(?=[^*#:;\s])", re.MULTILINE),
    "empty bracket": re.compile(r"（[\s、，,;；]*）|(?<![A-Za-z0-9_])\([\s,;]*\)|「」|『』|\[\]"),
    "bracket edge": re.compile(r"（[、，,;]|[、，,;]）|\([,;] |[,;] ?\)"),
    "category": re.compile(r"\b(?:Category|カテゴリ):"),
    "file": re.compile(r"\b(?:File|Image|ファイル|画像):|^(?:thumb|サムネイル|right|left)\||\|\s*thumb\b", re.MULTILINE),
    "entity": re.compile(r"&(?:nbsp|amp|lt|gt|quot|ndash|mdash|minus|times|#\d+);"),
    "switch": re.compile(r"__[A-Z目次強制]{3,}__"),
    "hole": re.compile(
        r"[はがをにの] [、。]|[はがを]。|[、，][ 　]*[、，。]|\b(?:is|was|of|the|an?|by|in|at|to) [.,;](?=\s|$)|\w ,"
    ),
}  # fmt: skip

_BODY_ENDS = re.compile(
    r"^==\s*(?:脚注|注釈|出典|参考文献|関連項目|外部リンク|See also|References|Notes|External links|Further reading|"
    r"Bibliography|Footnotes|Sources|Citations)\s*==\s*$",
    re.MULTILINE | re.IGNORECASE,
)
_NOTES = re.compile(r"<!--.*?-->|<ref\b[^<>]*/>|<ref\b[^<>]*>.*?</ref>|<(gallery|math|timeline|source|syntaxhighlight)\b.*?</\1>", re.DOTALL | re.IGNORECASE)  # fmt: skip
_INNERMOST_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_INNERMOST_TABLE = re.compile(r"^[ :*]*\{\|(?:(?!^[ :*]*\{\|).)*?^[ :*]*\|\}", re.DOTALL | re.MULTILINE)
_INNERMOST_LINK = re.compile(r"\[\[[^\[\]]*\]\]")
_MARKED = re.compile(r"[\[\]{}<>|=_\x00-\x08]|''+|https?:|&\w+;|&#\w+;|/")
_SENTENCE = re.compile(r"[^。.!?\n]+(?:[。!?]|\.(?=\s|$))")
_MIN_SENTENCE = 25
_MIN_BULLET = 12


# Writers leave these too ("that is, ..."): they are the extraction's only where the source has none there.
_FOUND_IN_PROSE = ("hole", "empty bracket", "bracket edge")
_CONTEXT = 12
_LITERAL = re.compile(r"<nowiki>([^<>]+)</nowiki>")


def count_defects(text: str, wikitext: str) -> dict[str, int]:
    """Defects by kind in the text that a tool made of a page. Marks in <nowiki> are there to be read."""
    for literal in _LITERAL.findall(wikitext):
        text = text.replace(literal, "")
    return {
        kind: sum(
            kind not in _FOUND_IN_PROSE
            or text[max(found.start() - _CONTEXT, 0) : found.end() + _CONTEXT] not in wikitext
            for found in pattern.finditer(text)
        )
        for kind, pattern in DEFECTS.items()
    }


def lost_pieces(wikitext: str) -> dict[str, list[str]]:
    """Passages that any extraction must keep: runs without markup in sentences and in bullet lines.

    Only of the body: before the notes, outside tables, templates and notes.
    """
    end = _BODY_ENDS.search(wikitext)
    body = _NOTES.sub("\x00", wikitext[: end.start()] if end else wikitext)
    body = _shrink(_INNERMOST_LINK, _shrink(_INNERMOST_TABLE, _shrink(_INNERMOST_TEMPLATE, body)))
    bullets, sentences = [], []
    for line in body.split("\n"):
        if line[:1] in ("*", "#"):
            runs = _MARKED.split(line.lstrip("*#:; "))
            bullets += [run.strip() for run in runs if len(run.strip()) >= _MIN_BULLET]
        elif line[:1] not in ("|", "!", "{", "}", "=", " ", ":", ";", "["):
            sentences += [
                sentence.strip()
                for run in _MARKED.split(line)
                for sentence in _SENTENCE.findall(run)
                if len(sentence.strip()) >= _MIN_SENTENCE
            ]
    return {"bullets": bullets, "sentences": sentences}


def kept_share(texts: list[str], pieces: list[list[str]]) -> float | None:
    """Share of the passages that stand in their page's text, apart from spaces; None without any."""
    total = kept = 0
    for text, wanted in zip(texts, pieces, strict=True):
        squeezed = _squeeze(text)
        total += len(wanted)
        kept += sum(_squeeze(one) in squeezed for one in wanted)
    return round(kept / total, 4) if total else None


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _shrink(innermost: re.Pattern[str], text: str) -> str:
    for _ in range(20):
        shorter = innermost.sub("\x00", text)
        if shorter == text:
            break
        text = shorter
    return text
