"""One spelling for one character: width, composition, line ends, invisible characters.

NFKC would do too much to Japanese prose: it turns ～ into ~, … into three dots, ㎡ and 10⁵ into m2
and 105, ！ into !. So only widths that carry no meaning are folded: full-width letters, digits and
most symbols become ASCII, half-width katakana become full-width; ！？（）：；「」、。 stay as Japanese
sets them, ー is never touched, and the two encodings of the wave dash become one.
"""

import polars as pl

_FULL_WIDTH_OFFSET = 0xFEE0
# ！（），．：；？ belong to Japanese typesetting; ～ is the wave dash in disguise (CP932's mapping of 〜).
_KEPT_FULL_WIDTH = set("！（），．：；？～")
_FOLDED = {
    chr(point): chr(point - _FULL_WIDTH_OFFSET)
    for point in range(0xFF01, 0xFF5F)
    if chr(point) not in _KEPT_FULL_WIDTH
}
_HALF_WIDTH_KANA = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン"
# Half-width voicing marks become combining ones; NFC then joins カ + mark to ガ.
_FOLDED |= {chr(0xFF61 + i): kana for i, kana in enumerate(_HALF_WIDTH_KANA)}
_FOLDED |= {"\uff9e": "\u3099", "\uff9f": "\u309a"}
_FOLDED |= {"～": "〜", "￠": "¢", "￡": "£", "￢": "¬", "￥": "¥"}

_LINE_ENDS = r"\r\n?|[\x0b\x0c\x85\u{2028}\u{2029}]"
# Controls (tab and newline stay), soft hyphen, zero-width and direction marks, variation selectors,
# noncharacters, tags. They are invisible, and split words for every later stage.
_INVISIBLE = (
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u{AD}\u{61C}\u{180E}\u{200B}-\u{200F}\u{202A}-\u{202E}"
    r"\u{2060}-\u{206F}\u{FEFF}\u{FE00}-\u{FE0F}\u{FFF9}-\u{FFFB}\u{FFFE}\u{FFFF}\u{E0000}-\u{E01EF}]"
)
_INDENT = r"(?m)^\u{3000}+"
_WIDE_SPACES = r"\u{3000}+"
_OTHER_SPACES = r"[\u{A0}\u{1680}\u{2000}-\u{200A}\u{202F}\u{205F}]"
_TRAILING = r"(?m)[ \t]+$"
_BLANK_LINES = r"\n{3,}"


def normalized(text: pl.Expr) -> pl.Expr:
    """The expression with every text normalised. Idempotent.

    A paragraph's wide indent and spaces at line ends go; ASCII indents stay, they are code.
    """
    text = text.str.normalize("NFC")
    text = text.str.replace_all(_LINE_ENDS, "\n").str.replace_all(_INVISIBLE, "")
    text = text.str.replace_many(list(_FOLDED), list(_FOLDED.values())).str.normalize("NFC")
    # A voicing mark that found nothing to join would attach itself to any character before it.
    text = text.str.replace_all("\u3099", "゛", literal=True).str.replace_all("\u309a", "゜", literal=True)
    for _ in range(2):  # neighbours share a digit (1．2．3), and a match consumes it
        text = text.str.replace_all("([0-9])．([0-9])", "${1}.${2}")
        text = text.str.replace_all("([0-9])，([0-9]{3})", "${1},${2}")
    text = text.str.replace_all(_OTHER_SPACES, " ")
    text = text.str.replace_all(_INDENT, "").str.replace_all(_WIDE_SPACES, " ")
    return tidied(text.str.replace_all(_TRAILING, ""))


def tidied(text: pl.Expr) -> pl.Expr:
    """The expression with at most one blank line in a row, and none at the ends."""
    text = text.str.replace_all(_BLANK_LINES, "\n\n")
    return text.str.strip_chars_start("\n").str.strip_chars_end(" \t\n")
