"""What becomes of each character on its own, and what its company may change: tables over the basic plane.

docs/cleaning.md gives the reasons with examples. A table entry of 0x20 or more is the character to
write, 0 drops it, and the small numbers below call for a look at the neighbours.
"""

import unicodedata

import numpy as np

# Actions of normalize.py. Tab (9) and newline (10) stand for themselves.
DROP, CARRIAGE_RETURN, WIDE_SPACE, VOICED, SEMI_VOICED, SLASH, BACKSLASH, LOWER_HALF, MARK = (
    0, 1, 2, 3, 4, 5, 6, 7, 8,
)  # fmt: skip
# Flags of utf8.py. COMPOSES: canonical composition may change it, together with its neighbours.
COMPOSES, DAMAGED, LATIN_LEAD, LATIN_TRAIL, SJIS_LEAD, LATIN_1, EUC_LEAD, HALF_KANA = (
    1 << bit for bit in range(8)
)
PLANE = 0x10000

_KEPT_WIDE = set("！（），．：；？")  # Japanese typesetting
_HALF_KANA = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン"
_VERTICAL = dict(zip("︐︑︒︓︔︕︖︗︘︙︵︶︷︸︹︺︻︼︽︾︿﹀﹁﹂﹃﹄", "、、。：；！？〖〗…（）{}〔〕【】《》〈〉「」『』", strict=True))  # fmt: skip
# Radicals that PDF extractors write for the characters of everyday text; Unicode gives those without
# a decomposition in EquivalentUnifiedIdeograph.txt.
_RADICALS = dict(zip("⺟⺠⻁⻄⻆⻑⻘⻝⻤⻨⻩⻫⻭⻯⻲⻳", "母民虎西角長青食鬼麦黄斉歯竜亀龟", strict=True))
_WIDTH_SIGNS = dict(zip("￠￡￢￥￦～", "¢£¬¥₩〜", strict=True))
_INVISIBLE = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164-\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ufdd0-\ufdef"
)
_SPACES = "\xa0\u1680\u2000-\u200a\u202f\u205f"
_MARKS = "．，―─—−－‐‾"  # what they are depends on both neighbours

VOICEABLE = "うかきくけこさしすせそたちつてとはひふへほゝウカキクケコサシスセソタチツテトハヒフヘホワヰヱヲヽ"
SEMI_VOICEABLE = "はひふへほハヒフヘホ"


def _ranges(text: str) -> list[int]:
    """Code points of `a-c` ranges and single characters."""
    found, i = [], 0
    while i < len(text):
        last = text[i + 2] if text[i + 1 : i + 2] == "-" else text[i]
        found += range(ord(text[i]), ord(last) + 1)
        i += 3 if text[i + 1 : i + 2] == "-" else 1
    return found


def _spelling_table() -> np.ndarray:
    table = np.arange(PLANE, dtype=np.uint16)
    for point in range(0x80, PLANE):
        composed = unicodedata.normalize("NFC", chr(point))
        if (
            len(composed) == 1 and ord(composed) < PLANE
        ):  # singletons: Å (Angstrom), CJK compatibility ideographs
            table[point] = ord(composed)
    for point in range(0x2F00, 0x2FD6):  # Kangxi radicals
        table[point] = ord(unicodedata.normalize("NFKC", chr(point)))
    for point in range(0xFF01, 0xFF5F):
        if chr(point) not in _KEPT_WIDE:
            table[point] = point - 0xFEE0
    for i, kana in enumerate(_HALF_KANA):
        table[0xFF61 + i] = ord(kana)
    for one, other in (_VERTICAL | _RADICALS | _WIDTH_SIGNS).items():
        table[ord(one)] = ord(other)
    table[_ranges(_INVISIBLE)] = DROP
    table[_ranges(_SPACES)] = ord(" ")
    table[_ranges("\x0b\x0c\x85\u2028\u2029")] = ord("\n")
    actions = {"\r": CARRIAGE_RETURN, "\u3000": WIDE_SPACE, "\u3099": VOICED, "\uff9e": VOICED,
               "\u309a": SEMI_VOICED, "\uff9f": SEMI_VOICED, "／": SLASH, "＼": BACKSLASH, "〵": LOWER_HALF}  # fmt: skip
    for one, action in (actions | dict.fromkeys(_MARKS, MARK)).items():
        table[ord(one)] = action
    return table


def _flag_table() -> np.ndarray:
    flags = np.zeros(PLANE, np.uint8)
    for point in range(0x80, PLANE):
        char = chr(point)
        if 0xD800 <= point < 0xE000 or char in "\u3099\u309a":
            continue
        composed = unicodedata.normalize("NFC", char)
        if unicodedata.combining(char) or len(composed) > 1 or ord(composed) >= PLANE:
            flags[point] |= COMPOSES
    # Second halves of compositions that are no marks: Hangul vowels and finals, a few Indic signs.
    flags[
        _ranges("\u1161-\u1175\u11a8-\u11c2\u09be\u09d7\u0b3e\u0b56\u0b57\u0bbe\u0bd7\u0cc2\u0cd5\u0cd6")
    ] |= COMPOSES
    flags[_ranges("\u0d3e\u0d57\u0dcf\u0ddf\u102e\u1b35")] |= COMPOSES
    flags[_ranges("\ufb00-\ufb06")] |= COMPOSES  # Latin ligatures become several letters: the same slow way
    # Traces of a wrong decoding. 縺繧繝譁: UTF-8 read as CP932. ã â ... + a trail: as Latin-1 or
    # CP1252. ‚: Shift_JIS read as CP1252. ､ and ･ before half-width kana: EUC-JP read as CP932.
    flags[_ranges("\ufffd\x80-\x84\x86-\x9f\ue000-\uf8ff縺繧繝譁")] |= DAMAGED
    flags[[ord(char) for char in "ãâåæçèéïÂÃ"]] |= LATIN_LEAD
    flags[[*range(0x80, 0xC0), *map(ord, "‚„…†‡ˆ‰‹Œ‘’“”•–—˜™š›œžŸ€ƒ")]] |= LATIN_TRAIL
    flags[ord("‚")] |= SJIS_LEAD
    flags[0x80:0x100] |= LATIN_1
    flags[[ord(char) for char in "､｡･"]] |= EUC_LEAD
    flags[0xFF66:0xFFA0] |= HALF_KANA
    return flags


def _voicing_table(kana: str, mark: str) -> np.ndarray:
    """For each kana (by its distance from ぁ, U+3041) the one with the mark joined, or 0."""
    table = np.zeros(0xC0, np.uint16)
    for one in kana:
        table[ord(one) - 0x3041] = ord(unicodedata.normalize("NFC", one + mark))
    return table


SPELLING = _spelling_table()
FLAGS = _flag_table()
VOICING = _voicing_table(VOICEABLE, "\u3099")
SEMI_VOICING = _voicing_table(SEMI_VOICEABLE, "\u309a")
# The same for str.translate: what may be done before canonical composition without a look around.
LIGATURES = dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
TRANSLATION = {p: int(q) for p, q in enumerate(SPELLING) if q != p and (q == DROP or q >= 0x20)} | LIGATURES
