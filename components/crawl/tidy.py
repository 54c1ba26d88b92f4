"""What the parser could not read, and the holes that dropped markup leaves, taken out of a text."""

import re

_TAGS = (
    "ref|references|gallery|math|br|hr|p|div|span|small|big|sub|sup|b|i|u|s|em|strong|font|center|table|tr|td|th|"
    "tbody|thead|caption|ul|ol|li|dl|dt|dd|code|pre|nowiki|poem|blockquote|ruby|rb|rt|rp|noinclude|includeonly|"
    "onlyinclude|timeline|tt|del|ins|strike|cite|abbr|var|kbd|samp|q|bdi|bdo|section|syntaxhighlight|source|score|"
    "chem|hiero|imagemap|templatestyles|indicator|h[1-6]|a|img|mark|wbr|time|data"
)
# Never across the next <ref: one that only stands in the text (<nowiki>) must not swallow a paragraph.
_NOTE = re.compile(r"<ref\b[^<>]*/>|<ref\b[^<>]*>[^<]*(?:<(?!/?ref\b)[^<]*)*</ref\s*>", re.IGNORECASE)
_TAG = re.compile(rf"</?(?:{_TAGS})\b[^<>]*/?>|<ref\b[^<>\n]*", re.IGNORECASE)
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_TABLE = re.compile(r"\{\|.*?\|\}|\{\|[^\n]*", re.DOTALL)
_MARKS = re.compile(r"\{\{+|\}\}+|\[\[+|\]\]+|\|\}|'{2,}")
_HIDDEN_LINK = re.compile(
    r"\[\[(?:File|Image|Category|ファイル|画像)\s*:[^\[\]\n]*(?:\]\]|$)", re.IGNORECASE | re.MULTILINE
)
_SWITCH = re.compile(r"__[A-Z\u3040-\u30ff\u4e00-\u9fff]{3,}__")

_OPEN, _CLOSE, _SEPARATORS = "（(", "）)", r"\s、，,;；:：・/／"
# `main()` is a word of its own: half-width brackets go only where no letter stands before them.
_EMPTY_BRACKETS = re.compile(
    rf"[ 　]?（[{_SEPARATORS}]*）|[ 　]?(?<![A-Za-z0-9_])\([{_SEPARATORS}]*\)|「\s*」|『\s*』|【\s*】|〈\s*〉|《\s*》"
)
_AFTER_OPEN = re.compile(rf"([{_OPEN}])[{_SEPARATORS}]+(?=[^\s{_CLOSE}])")
_BEFORE_CLOSE = re.compile(rf"(?<=[^\s{_OPEN}])[ 　、，,;；:：]+([{_CLOSE}])")
_DOUBLE_COMMA = re.compile(r"([、，])(?:[ 　]*[、，])+|(,)(?: *,)+")
_SPACE_BEFORE_POINT = re.compile(r"(?<=\w) +([.,;:!?](?:\s|$))")
_LINE_EDGES = re.compile(r"^[ \t\u3000\u200b\ufeff]+|[ \t\u3000\u200b\ufeff]+$", re.MULTILINE)
_LEFT_MARKS = re.compile(r"^[*#:;・\-–•|!,.、。 ]+$", re.MULTILINE)
_SPACES = re.compile(r"[ \t\xa0]{2,}|[\t\xa0]")
_BLANK_LINES = re.compile(r"\n{3,}")


def tidy(text: str) -> str:
    """Plain text without leftover markup, empty brackets and ragged space."""
    if "<" in text:
        text = _TAG.sub("", drop_notes(text))
    text = drop_markup(text)
    text = drop_empty_brackets(text)
    text = _SPACE_BEFORE_POINT.sub(r"\1", _DOUBLE_COMMA.sub(r"\1\2", text))
    text = _LINE_EDGES.sub("", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", _LEFT_MARKS.sub("", text)).strip()


def drop_notes(text: str) -> str:
    """Without `<ref>...</ref>` and `<ref name=... />`."""
    return _NOTE.sub("", text)


def drop_markup(text: str) -> str:
    """Without unbalanced templates, links, tables, quotes and switches."""
    if "{" in text:
        while (shorter := _TEMPLATE.sub("", text)) != text:
            text = shorter
        text = _TABLE.sub("", text)
    if "[[" in text:
        text = _HIDDEN_LINK.sub("", text)
    return _MARKS.sub("", _SWITCH.sub("", text))


def drop_empty_brackets(text: str) -> str:
    """Without brackets that hold nothing, and separators at the edge of those that do.

    Repeated, for an empty pair may stand inside another.
    """
    for _ in range(5):
        cleaned = _AFTER_OPEN.sub(r"\1", _BEFORE_CLOSE.sub(r"\1", _EMPTY_BRACKETS.sub("", text)))
        if cleaned == text:
            break
        text = cleaned
    return text
