"""Wikitext to plain text: what a reader would read aloud, without tables, notes and markup.

A row of passes, each linear in the page whatever it holds, each built so that the scanning happens in
C (str.find, str.split, patterns that begin with a literal). docs/wikipedia.md says what stays and why.
"""

import re

from components.crawl.wikitext.nesting import Renderer
from components.crawl.wikitext.sections import HEADING_MARK, mark_headings, without_empty_sections
from components.crawl.wikitext.tables import drop_tables
from components.crawl.wikitext.tags import (
    HOLE,
    LITERAL_MARK,
    STAND_INS,
    drop_comments,
    drop_notes,
    render_tags,
    unprotect,
)
from components.crawl.wikitext.templates import rules_of
from components.crawl.wikitext.tidy import tidy

HIDDEN_LINKS = ("file", "image", "media", "category", "ファイル", "画像", "メディア", "カテゴリ")
# The passes talk to each other through these, so a page must not bring any.
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")


def extract_text(wikitext: str, hidden_namespaces: tuple[str, ...] = (), language: str = "ja") -> str:
    """The prose of an article; "" when there is none.

    hidden_namespaces: this wiki's own names for the namespaces of files and categories.
    language: ISO 639-1 code of the wiki; dates and amounts in templates are written its way.
    """
    text = wikitext
    if not text.isascii() and any(mark in text for mark in (*STAND_INS, HOLE, HEADING_MARK)):
        text = _NONCHARACTERS.sub("", text)
    text = "\n" + text.replace("\r", "") + "\n"
    if "<" in text:
        text = render_tags(drop_notes(drop_comments(text)))
    # Tables and closing sections go before what is in them is looked at: they are half of an article.
    text = drop_tables(mark_headings(text))
    hidden = frozenset((*HIDDEN_LINKS, *(name.lower() for name in hidden_namespaces)))
    text = tidy(Renderer(hidden, rules_of(language)).render(text))
    text = without_empty_sections(text)
    return unprotect(text).strip() if LITERAL_MARK in text else text
