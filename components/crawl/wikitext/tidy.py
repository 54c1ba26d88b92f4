"""The last passes: marks at the head of lines, quotes, addresses, entities, and the holes that dropped markup leaves."""

import re
from html.entities import html5

from components.crawl.wikitext.tables import drop_stray_rows
from components.crawl.wikitext.tags import HOLE

_QUOTES = re.compile(r"''+")
_LINK = re.compile(r"\[(?:[a-z]{3,6}:)?//[^\s\[\]<>\"]+[ \t]*([^\[\]\n]*)\]")
_MAIL = re.compile(r"\[mailto:[^\s\[\]]+[ \t]*([^\[\]\n]*)\]")
_SWITCH = re.compile(r"__[A-Z\u3040-\u30ff\u4e00-\u9fff]{3,30}__")
_VARIANT = re.compile(r"-\{((?:[^{}-]|-(?!\{)|\{(?!-))*?)\}-")
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));")
_LINE_MARKS = re.compile(rf"\n(?:[*#:;][*#:; \t\u3000{HOLE}]*|-{{4,}})")
_LONELY_MARKS = re.compile(r"\n[*#:;・\-–•|!,.、。 \u3000]+(?=\n)")
_EDGE = " \u3000\u200b\ufeff"
_SPACES = re.compile("  +")
_BLANK_LINES = re.compile(r"\n\n\n+")
_STRAY = ("[[", "]]", "{{", "}}", "{|", "|}")

_PAIRS = {"（": "）", "(": ")", "「": "」", "『": "』", "【": "】", "〈": "〉", "《": "》", "[": "]"}
_ROUND, _ROUND_END = "（(", "）)"
_SEPARATORS = " \u3000、，,;；:：・/／\n"
_COMMAS = "、，,"
_POINTS = ".,;:!?。、，．"
_EMPTY = re.compile(r"（[\s、，,;；:：・/／]*）")
_EMPTY_ASCII = re.compile(r"\((?<![A-Za-z0-9_]\()[\s,;:/、，]*\)")
_AFTER_OPEN = re.compile(r"（[\s、，,;；:：]+")
_BEFORE_CLOSE = re.compile(r"[ 　、，,;；]+(?=）)")


def tidy(text: str) -> str:
    """Plain text out of one whose tags, links and templates are rendered."""
    text = _drop_marks(text)
    text = _LINE_MARKS.sub("\n", drop_stray_rows(text))
    text = _drop_empty_brackets(_drop_stray(mend_holes(_entities(text))))
    return _space(_drop_stray(text))  # an empty pair can have stood between two halves: `[「」[`


def _drop_marks(text: str) -> str:
    if "''" in text:
        text = _QUOTES.sub("", text)
    if "[" in text:
        if "//" in text:
            text = HOLE.join(_LINK.split(text))
        text = _MAIL.sub(r"\1", text) if "[mailto:" in text else text
    if "_" in text:  # one character is found ten times as fast as two
        text = _SWITCH.sub("", text)
    if "{" in text and "-{" in text:
        text = _VARIANT.sub(_variant, text)
    return text


def _drop_stray(text: str) -> str:
    """Without brackets that were never closed."""
    suspects = [mark for mark in _STRAY if mark[0] in text and mark[1] in text]
    if not suspects:
        return text
    for mark in suspects:
        text = text.replace(mark, "")
    if any(mark in text for mark in _STRAY):  # halves that came together: `[{{[`
        for mark in "[]{}":
            text = text.replace(mark, "")
    return text


def _variant(found: re.Match[str]) -> str:
    """-{zh-hans:软件;zh-hant:軟體}-: the first of the forms; flags before `|` are for the converter."""
    flag, bar, words = found[1].partition("|")
    first = (words if bar else flag).partition(";")[0]
    return first.rpartition(":")[2].strip()


def _entities(text: str) -> str:
    if "&" not in text:
        return text
    return _ENTITY.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    if found[3]:
        character = html5.get(f"{found[3]};", found[0])
    else:
        code = int(found[1]) if found[1] else int(found[2], 16)
        is_text = code in (9, 10) or 32 <= code < 0xD800 or 0xE000 <= code <= 0x10FFFF
        character = chr(code) if is_text and not 0xFDD0 <= code <= 0xFDEF else ""
    return " " if character == "\xa0" else character


def mend_holes(text: str) -> str:
    """Without the marks of what was dropped, and the brackets, commas and spaces that held only that."""
    if HOLE not in text:
        return text
    first, *pieces = text.split(HOLE)
    kept = [first]
    for found in pieces:
        if not found:
            continue
        piece = found
        while kept and not kept[-1]:
            kept.pop()
        head = piece[0]
        before = kept[-1][-1] if kept else "\n"
        if before in _PAIRS or head in _ROUND_END or (head in _POINTS and before in _POINTS + " \u3000"):
            piece = _mend(kept, piece)
        elif head == " ":
            words = piece.lstrip(" ")
            if before in " \n" or (words and words[0] in _POINTS):
                piece = words
        kept.append(piece)
    return "".join(kept)


def _mend(kept: list[str], piece: str) -> str:
    """Mends the end of `kept` in place; what stays of the piece after the hole."""
    while True:
        if piece[:1] in _ROUND_END or (piece[:1] in _POINTS and piece):
            _strip_end(kept, _SEPARATORS if piece[:1] in _ROUND_END else " \u3000")
        before = kept[-1][-1:] if kept else ""
        if before in _ROUND and before:
            piece = piece.lstrip(_SEPARATORS)
        if before and _PAIRS.get(before) == piece[:1]:
            if before == "(" and kept[-1][-2:-1].isalnum() and kept[-1][-2:-1].isascii():
                return piece
            kept[-1], piece = kept[-1][:-1], piece[1:]
            continue
        if before in _COMMAS and before and piece[:1] in _COMMAS and piece:
            return piece[1:]
        return piece


def _strip_end(kept: list[str], characters: str) -> None:
    while kept:
        kept[-1] = kept[-1].rstrip(characters)
        if kept[-1]:
            return
        kept.pop()


def _drop_empty_brackets(text: str) -> str:
    """Repeated, for an empty pair may stand inside another."""
    if "（" in text:
        text = _BEFORE_CLOSE.sub("", _AFTER_OPEN.sub("（", text)) if "）" in text else text
    for _ in range(5):
        before = len(text)
        if "（" in text:
            text = _EMPTY.sub("", text)
        if "(" in text:
            text = _EMPTY_ASCII.sub("", text)
        for pair in ("「」", "『』", "【】", "〈〉", "《》"):
            if pair[0] in text:
                text = text.replace(pair, "")
        if len(text) == before:
            break
    return text


def _space(text: str) -> str:
    """One space between words, none at the edge of lines, one blank line at most."""
    text = text.replace("\t", " ").replace("\xa0", " ")
    text = _SPACES.sub(" ", text)
    text = "\n".join([line.strip(_EDGE) for line in text.split("\n")])
    return _BLANK_LINES.sub("\n\n", _LONELY_MARKS.sub("\n", text)).strip()
