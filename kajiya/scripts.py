"""To which script a character belongs: the same for the rules of clean and for the bounds of validate."""

import numpy as np
import numpy.typing as npt

NONE, HIRAGANA, KATAKANA, KANJI, LATIN, DIGIT = range(6)
RARE_KANJI = (0x20000, 0x33480)
"""Code points of kanji beyond the basic plane: the first, and the one after the last."""

_JAPANESE = (
    (0x3041, 0x309F, HIRAGANA),
    (0x30A1, 0x30FF, KATAKANA),  # not ゠ (U+30A0), a hyphen
    (0x31F0, 0x31FF, KATAKANA),
    (0xFF66, 0xFF9F, KATAKANA),
    # 々, 〆 and 〇 are no kanji for Unicode, yet stand in any Japanese text.
    (0x3005, 0x3007, KANJI),
    (0x3400, 0x4DBF, KANJI),
    (0x4E00, 0x9FFF, KANJI),
    (0xF900, 0xFAFF, KANJI),
)
_LATIN = ((0x0041, 0x024F), (0x1E00, 0x1EFF), (0xFF21, 0xFF5A))  # the letters there


def script_table() -> npt.NDArray[np.uint8]:
    """Script of each code point of the basic plane; a new array, for others to add their own classes to."""
    table = np.full(0x10000, NONE, np.uint8)
    for point in range(0x10000):
        if chr(point).isdigit():
            table[point] = DIGIT
    for first, last in _LATIN:
        for point in range(first, last + 1):
            if chr(point).isalpha():
                table[point] = LATIN
    for first, last, script in _JAPANESE:
        table[first : last + 1] = script
    table[ord("・")] = NONE
    return table
