"""Wikitext to plain text: what a reader would read aloud, without tables, notes and markup.

mwparserfromhell parses; the rules here say what stays. Known defects of other extractors that this
one must not have: table rows and tags left in, bullet text lost, holes where a template stood inside
a sentence, empty brackets, category text.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import mwparserfromhell
from mwparserfromhell.nodes import (
    Argument,
    Comment,
    ExternalLink,
    Heading,
    HTMLEntity,
    Node,
    Tag,
    Template,
    Text,
    Wikilink,
)

from components.crawl.templates import render_template
from components.crawl.tidy import drop_notes, tidy

# Sections after which an article has no prose any more.
_CLOSING_HEADING = re.compile(
    "(?:脚注|注釈|注|註|脚註|註釈|出典|参考文献|参考資料|参照)(?:[・と、](?:脚注|注釈|出典|参考文献|参考資料))*|"
    "関連(?:項目|文献|リンク|記事)|外部リンク|"
    "(?:references|notes|footnotes|citations|sources|bibliography)(?: and (?:references|notes|sources))?|"
    "see also|external links|further reading|works cited"
)

# Without a word a reader would miss, or words of another kind (code, scores, formulas).
_DROPPED_TAG = re.compile(
    "ref|references|gallery|math|chem|ce|score|timeline|imagemap|hiero|graph|mapframe|maplink|templatestyles|"
    "indicator|section|source|syntaxhighlight|table|inputbox|categorytree|rp|style|script|includeonly|"
    "templatedata|noinclude"
)
_BLOCK_TAG = re.compile("hr|p|div|poem|blockquote|center|li|dt|dd|ul|ol|dl|pre|tr")

HIDDEN_LINKS = ("file", "image", "media", "category", "ファイル", "画像", "メディア", "カテゴリ")
# [[en:Title]] without a colon before it is a link in the margin; `wikt:` and the like are words.
_MARGIN_LINK = re.compile(r"[a-z]{2,3}(-[a-z-]+)?$|simple$")

_DISAMBIGUATION = re.compile(
    r"\{\{\s*(?:template:)?(?:aimai|曖昧さ回避|あいまいさ回避|dmbox|disambig(?:uation)?(?: page)?|disamb|dab|hndis|"
    r"geodis|numberdis|surname|given name|人名の曖昧さ回避|地名の曖昧さ回避|同名の[^|{}]{1,20}|"
    r"[^|{}]{1,30}(?:disambiguation|曖昧さ回避))\s*[|}]|__disambig__",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HEADING = re.compile(r"^(={1,6})[ \t　]*(.+?)[ \t　]*\1[ \t　]*$", re.MULTILINE)
_TABLE_EDGE = re.compile(r"^[ \t:*#;]*(?:(\{\|)|(\|\})(?!\}))", re.MULTILINE)


def is_disambiguation(wikitext: str) -> bool:
    """Whether the page only lists others of its name."""
    return _DISAMBIGUATION.search(wikitext) is not None


def extract_text(wikitext: str, hidden_namespaces: tuple[str, ...] = ()) -> str:
    """The prose of an article; "" when there is none.

    hidden_namespaces: this wiki's own names for the namespaces of files and categories.
    """
    # Notes, tables and closing sections go before parsing: they are half of an article, and slow to parse.
    source = _cut_closing_sections(drop_tables(drop_notes(_COMMENT.sub("", wikitext))))
    renderer = _Renderer((*HIDDEN_LINKS, *(name.lower() for name in hidden_namespaces)))
    # Bold and italic quotes are taken out later: parsed, unbalanced ones would swallow other markup.
    code = mwparserfromhell.parse(source, skip_style_tags=True)
    sections: list[tuple[int, str, list[str]]] = [(0, "", [])]
    for node in code.nodes:
        if isinstance(node, Heading):
            sections.append((node.level, renderer.render(node.title.nodes), []))
        else:
            sections[-1][2].append(renderer.node(node))
    return tidy("\n\n".join(_non_empty(sections)))


def drop_tables(wikitext: str) -> str:
    """Without `{| ... |}` and what is nested in it. One that never ends goes up to the next heading."""
    kept, depth, begin, position = [], 0, 0, 0
    for edge in _TABLE_EDGE.finditer(wikitext):
        if edge[1]:
            if depth == 0:
                begin = edge.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                kept.append(wikitext[position:begin])
                position = edge.end()
    if depth:
        kept.append(wikitext[position:begin])
        heading = _HEADING.search(wikitext, begin)
        position = heading.start() if heading else len(wikitext)
    return "".join(kept) + wikitext[position:]


def _cut_closing_sections(wikitext: str) -> str:
    """Ends at the first closing heading of the top level; a closing subsection goes with its own text."""
    kept, position, closing_level = [], 0, 0
    for heading in _HEADING.finditer(wikitext):
        level, title = len(heading[1]), heading[2].strip(" '　\t").lower()
        if closing_level and level <= closing_level:
            position, closing_level = heading.start(), 0
        if not closing_level and _CLOSING_HEADING.fullmatch(title):
            kept.append(wikitext[position : heading.start()])
            closing_level = level
            if level <= 2:
                return "".join(kept)
    return "".join(kept) + ("" if closing_level else wikitext[position:])


def _non_empty(sections: list[tuple[int, str, list[str]]]) -> list[str]:
    """Sections as text; a heading stays when it or a subsection of it has text."""
    kept: list[str] = []
    deepest_kept = 0  # level of the section kept last, reading from the end
    for level, title, parts in reversed(sections):
        body = tidy("".join(parts))
        if body or deepest_kept > level > 0:
            kept.append(f"{title.strip()}\n{body}".strip())
            deepest_kept = level
        elif level <= deepest_kept:
            deepest_kept = level
    return kept[::-1]


class _Renderer:
    """Nodes of the parsed wikitext as text."""

    def __init__(self, hidden_links: tuple[str, ...]) -> None:
        self.hidden_links = frozenset(hidden_links)
        self.by_type: dict[type, Callable[[Any], str]] = {
            Text: lambda node: node.value,
            Comment: lambda _: "",
            Wikilink: self._link,
            Template: self._template,
            Tag: self._tag,
            ExternalLink: self._external,
            HTMLEntity: self._entity,
            Heading: lambda node: f"\n{self._code(node.title)}\n",  # inside another node: no section
            Argument: lambda node: self._code(node.default),
        }

    def render(self, nodes: Iterable[Node]) -> str:
        return "".join(map(self.node, nodes))

    def node(self, node: Node) -> str:
        return self.by_type[type(node)](node)

    def _code(self, code: mwparserfromhell.wikicode.Wikicode | None) -> str:
        return "" if code is None else self.render(code.nodes)

    def _link(self, node: Wikilink) -> str:
        target = self._code(node.title).strip()
        if not target.startswith(":"):
            namespace, colon, _ = target.partition(":")
            namespace = namespace.strip().lower()
            if colon and (namespace in self.hidden_links or _MARGIN_LINK.match(namespace)):
                return ""
        shown = self._code(node.text).strip("\n") if node.text is not None else ""
        return shown or target.lstrip(":").lstrip("#")

    def _external(self, node: ExternalLink) -> str:
        if node.title is not None:
            return self._code(node.title)
        return "" if node.brackets else str(node.url)

    def _entity(self, node: HTMLEntity) -> str:
        try:
            character = node.normalize()
        except ValueError:  # a number that is no character
            return ""
        return " " if character == "\xa0" else character

    def _template(self, node: Template) -> str:
        values = {}
        for parameter in node.params:
            values[self._code(parameter.name).strip()] = self._code(parameter.value).strip()
        name = self._code(node.name)
        function, colon, value = name.partition(":")
        if colon and function.strip().lower() == "formatnum":
            return value
        return render_template(name, values)

    def _tag(self, node: Tag) -> str:
        name = str(node.tag).strip().lower()
        if _DROPPED_TAG.fullmatch(name):
            return ""
        inside = self._code(node.contents)
        if node.wiki_markup:
            # `*`, `#`, `:`, `;` at the head of a line: only the mark goes. A rule `----` breaks the line.
            return "\n" if name == "hr" else inside
        if name == "rt":
            return f"（{inside}）" if inside.strip() else ""
        if name == "br":
            return "\n"
        return f"\n{inside}\n" if _BLOCK_TAG.fullmatch(name) else inside
