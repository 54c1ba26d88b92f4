"""Tables go whole: a row without its header is no sentence, and no header says which rows are prose."""

import re

from components.crawl.wikitext.sections import HEADING_MARK
from components.crawl.wikitext.tags import HOLE

# `|}}}` ends a table at the end of a template; `|}}` is an empty last parameter.
_EDGE = re.compile(r"\{\||\|\}(?!\}(?!\}))")
_BEFORE_TABLE = f" \t:*#;\u3000{HOLE}"
# Rows whose table a template began, or an infobox that never ends: no prose begins with these.
_STRAY_ROW = re.compile(rf"\n[ \t{HOLE}]*(?:\|[^\n]*|![^\n]*(?:!!|\|)[^\n]*)")


def drop_tables(text: str) -> str:
    """Without `{| ... |}` and what is nested in it. One that never ends goes up to the next heading."""
    if "{{(!}}" in text:
        text = (
            text.replace("{{(!}}", "{|").replace("{{!)}}", "|}").replace("{{!}}", "|").replace("{{!-}}", "|-")
        )
    if "{|" not in text:
        return text
    kept, depth, begin, position = [], 0, 0, 0
    for edge in _EDGE.finditer(text):
        if not _begins_line(text, edge.start()):
            continue
        if edge[0] == "{|":
            if depth == 0:
                begin = edge.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                kept.append(text[position:begin])
                position = edge.end()
    if depth:
        kept.append(text[position:begin])
        heading = text.find("\n" + HEADING_MARK, begin)
        position = heading if heading >= 0 else len(text)
    return "".join(kept) + text[position:]


def drop_stray_rows(text: str) -> str:
    """Without lines that only a table can hold."""
    return _STRAY_ROW.sub("", text) if "|" in text or "!!" in text else text


def _begins_line(text: str, place: int) -> bool:
    # A mark stands within a few characters of its line's begin, or it is none.
    head = text[max(place - 20, 0) : place]
    line, _, _ = head[::-1].partition("\n")
    return not line.strip(_BEFORE_TABLE) and "\n" in head
