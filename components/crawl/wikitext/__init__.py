"""Wikitext to plain text: what a reader would read aloud, without tables, notes and markup.

A row of passes, each linear in the page whatever it holds, each built so that the scanning happens in
C (str.find, str.split, patterns that begin with a literal). docs/wikipedia.md says what stays and why.
"""

import re
from functools import lru_cache

from components.crawl.wikitext.nesting import Renderer
from components.crawl.wikitext.sections import mark_headings, without_empty_sections
from components.crawl.wikitext.tables import drop_tables
from components.crawl.wikitext.tags import (
    LITERAL_MARK,
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
    # Their block's two bytes are found many times faster in UTF-8 than its characters in the text.
    if not text.isascii() and b"\xef\xb7" in text.encode("utf-8", "surrogatepass"):
        text = _NONCHARACTERS.sub("", text)
    text = "\n" + text.replace("\r", "") + "\n"
    if "<" in text:
        text = render_tags(drop_notes(drop_comments(text)))
    # Tables and closing sections go before what is in them is looked at: they are half of an article.
    text = drop_tables(mark_headings(text))
    text = without_empty_sections(tidy(_renderer(hidden_namespaces, language).render(text)))
    return unprotect(text).strip() if LITERAL_MARK in text else text


@lru_cache
def _renderer(hidden_namespaces: tuple[str, ...], language: str) -> Renderer:
    hidden = frozenset((*HIDDEN_LINKS, *(name.lower() for name in hidden_namespaces)))
    return Renderer(hidden, rules_of(language))
