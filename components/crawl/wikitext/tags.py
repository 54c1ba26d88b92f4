"""Comments, notes and tags out of wikitext; literal passages are kept from the passes after this one."""

import re

# Stands where something was taken out of a line: tidy mends what it leaves behind.
HOLE = "\ufdee"
# Precedes a passage whose markup is meant literally; its marks are noncharacters until the end.
LITERAL_MARK = "\ufdd0"
_LITERAL = str.maketrans("[]{}|<>'=*#:;!_-", "".join(chr(0xFDD1 + place) for place in range(16)))
_PLAIN = [(chr(stand_in), chr(mark)) for mark, stand_in in _LITERAL.items()] + [(LITERAL_MARK, "")]

# Patterns begin with a literal and spell out both cases: re finds that many times faster than IGNORECASE.
# A note never reaches across the next <ref: one that only stands in the text (<nowiki>) must not
# swallow a paragraph.
_NOTE = re.compile(
    r"<[rR][eE][fF](?![A-Za-z])(?:[^<>]*/>|[^<>]*>[^<]*(?:<(?!/?[rR][eE][fF]\b)[^<]*)*</[rR][eE][fF]\s*>)"
)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)([^<>]*)>")
_OPEN_TAG_OF_NOTHING = re.compile(r"<(?:/?[rR][eE][fF]|[dD][iI][vV]|[sS][pP][aA][nN])\b[^<>\n]*(?=[<\n])")


def _names(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Without a word a reader would miss, or words of another kind (scores, captions, long code).
_DROPPED = _names(
    "ref references gallery score timeline imagemap hiero graph mapframe maplink templatestyles indicator "
    "source syntaxhighlight table inputbox categorytree rp style script includeonly templatedata"
)
_LITERAL_TAGS = _names("nowiki pre math chem ce")
_BLOCK = _names(
    "br hr p div poem blockquote center li dt dd ul ol dl tr td th tbody thead caption h1 h2 h3 h4 h5 h6"
)
_INLINE = _names(
    "span small big sub sup b i u s em strong font code ruby rb rt rbc rtc tt del ins strike cite abbr var kbd "
    "samp q bdi bdo section onlyinclude a img mark wbr time data dfn noinclude nobr blink phonos"
)
_KNOWN = _DROPPED | _LITERAL_TAGS | _BLOCK | _INLINE
_SPANS = _DROPPED | _LITERAL_TAGS | {"sup"}
_SHOWN = {("", "rt"): "（", ("/", "rt"): "）", ("", "q"): "「", ("/", "q"): "」"}
_POWER = re.compile(r"\s*[-−–+]?\d{1,3}\s*")


def drop_comments(text: str) -> str:
    """Without `<!-- -->`; one alone on its line goes with the line, one that never ends goes to the end."""
    kept, position = [], 0
    while (begin := text.find("<!--", position)) >= 0:
        kept.append(text[position:begin])
        end = text.find("-->", begin + 4)
        position = len(text) if end < 0 else end + 3
        if text[begin - 1 : begin] == "\n" == text[position : position + 1]:
            position += 1
    return "".join(kept) + text[position:] if kept else text


def drop_notes(text: str) -> str:
    """Without `<ref>...</ref>` and `<ref name=... />`."""
    return HOLE.join(_NOTE.split(text))


def render_tags(text: str) -> str:
    """Tags of HTML and of MediaWiki's extensions as what a reader sees of them."""
    tags = [tag for tag in _TAG.finditer(text) if tag[2].lower() in _KNOWN]
    ends = _ends(tags)
    pieces, position, place = [], 0, 0
    while place < len(tags):
        tag = tags[place]
        pieces.append(text[position : tag.start()])
        end = ends.get(place)
        if end is None:
            pieces.append(_shown(tag))
            position, place = tag.end(), place + 1
        else:
            inside = text[tag.end() : tags[end].start()]
            before = text[tag.start() - 1]
            pieces.append(_span(tag[2].lower(), inside, before))
            position, place = tags[end].end(), end + 1
    text = "".join(pieces) + text[position:]
    return _OPEN_TAG_OF_NOTHING.sub("", text) if "<" in text else text


def unprotect(text: str) -> str:
    """Literal passages with their marks again."""
    for stand_in, mark in _PLAIN:  # str.translate would be many times slower
        text = text.replace(stand_in, mark)
    return text


def protect(text: str) -> str:
    """A passage whose marks no later pass takes for markup."""
    return LITERAL_MARK + text.translate(_LITERAL)


def _ends(tags: list[re.Match[str]]) -> dict[int, int]:
    """Place of the closing tag by place of its opening one, for tags whose inside is treated as a whole."""
    opened: dict[str, list[int]] = {}
    ends = {}
    for place, tag in enumerate(tags):
        name = tag[2].lower()
        if name not in _SPANS or tag[3].endswith("/"):
            continue
        if not tag[1]:
            opened.setdefault(name, []).append(place)
        elif opened.get(name):
            begin = opened[name].pop()
            if name != "sup" or begin == place - 1:  # one with tags in it is no number
                ends[begin] = place
    return ends


def _shown(tag: re.Match[str]) -> str:
    name = tag[2].lower()
    if name in _BLOCK:
        return "\n"
    return _SHOWN.get((tag[1], name), "" if name in _INLINE else HOLE)


def _span(name: str, inside: str, before: str) -> str:
    if name == "math":
        return protect(f"${_formula(inside)}$") if inside.strip() else HOLE
    if name in _LITERAL_TAGS:
        return protect(inside if name == "nowiki" else inside.strip("\n"))
    if name == "sup":
        # 10<sup>5</sup> is not 105.
        power = before.isdigit() and _POWER.fullmatch(inside)
        return f"^{inside.strip()}" if power else inside
    return HOLE


def _formula(tex: str) -> str:
    """TeX on one line. Space between like brackets means nothing to TeX, and `}}` looks like a template."""
    return re.sub(r"(?<=([{}\[\]]))(?=\1)", " ", " ".join(tex.split()))
