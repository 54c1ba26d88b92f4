"""Headings and sections: notes, sources and link lists are cut, headings without text below them go."""

import re

from components.crawl.wikitext.tags import HOLE

# Begins a heading's line, followed by its level and its title.
HEADING_MARK = "\ufdef"
_HEADING = re.compile(r"\n(={1,6})([^\n]+)(?=\n)")
_NOT_IN_TITLE = re.compile(rf"\{{\{{[^{{}}]*\}}\}}|[ '\u3000\t{HOLE}]+")

# Sections after which an article has no prose any more.
_SOURCES = (
    "脚注|脚註|注釈|註釈|注|註|注記|注解|補注|出典|参照|参考|文献|参考文献|参考図書|参考書籍|参考資料|参考サイト|主要参考文献|"
    "引用文献|引用|参照文献|参考リンク|外部リンク|外部サイト|関連項目|関連文献|関連リンク|関連記事|関連図書|関連書籍|関連事項|"
    "関連資料|脚注・出典|出典・脚注|リンク|公式サイト"
)
_CLOSING = re.compile(
    rf"(?:{_SOURCES})(?:[・と、及並びに/／および]{{1,4}}(?:{_SOURCES}))*(?:一覧)?|"
    r"(?:explanatory|general|cited|primary|secondary|selected)?(?:references?|notes?|footnotes?|citations?|sources?|"
    r"bibliography|footnotesandreferences)(?:(?:and|&|,|/)(?:references?|notes?|footnotes?|sources?|citations?|"
    r"furtherreading|externallinks?|bibliography))*|"
    r"seealso|externallinks?|furtherreading(?:andexternallinks?)?|workscited|citedworks|externalsources|weblinks|"
    r"relatedpages|otherwebsites|notesandreferences"
)


def mark_headings(text: str) -> str:
    """Headings as marked lines; each closing section is cut up to the next heading of its level or above."""
    if "\n=" not in text:
        return text
    kept, position, closing_level = [], 0, 0
    for found in _HEADING.finditer(text):
        heading = _parse(found)
        if heading is None:
            continue
        level, title = heading
        if closing_level and level > closing_level:
            continue
        if not closing_level:
            kept.append(text[position : found.start()])
        position, closing_level = found.end(), 0
        if _CLOSING.fullmatch(_NOT_IN_TITLE.sub("", title).lower()):
            closing_level = level
        else:
            kept.append(f"\n\n{HEADING_MARK}{level}{title}\n")
    return "".join(kept) + ("\n" if closing_level else text[position:])


def _parse(found: re.Match[str]) -> tuple[int, str] | None:
    """Level and title of a line that begins with `=`, or None: it must end with `=` too."""
    rest = found[2].rstrip(f" \t\u3000{HOLE}")
    inner = rest.rstrip("=")
    level = min(len(found[1]), len(rest) - len(inner))
    if level == 0:
        return None
    title = inner.strip(f" =\t\u3000{HOLE}")
    return (level, title) if title else None


def without_empty_sections(text: str) -> str:
    """Headings as plain lines after a blank one; a heading stays when it or a subsection of it has text."""
    if HEADING_MARK not in text:
        return text
    lead, *sections = text.split(HEADING_MARK)
    kept: list[str] = []
    deepest_kept = 0  # level of the section kept last, reading from the end
    for section in reversed(sections):
        level = int(section[0])
        title, _, body = section[1:].partition("\n")
        body = body.strip()
        if body or deepest_kept > level:
            kept.append(f"{title.strip()}\n{body}".strip())
            deepest_kept = level
        elif level <= deepest_kept:
            deepest_kept = level
    lead = lead.strip()
    return "\n\n".join([*([lead] if lead else []), *kept[::-1]])
