"""Which encoding a Japanese text is in: decided by strict decoding and by what the reading looks like.

UTF-8, CP932 (Shift JIS), EUC-JP and ISO-2022-JP. Bytes of one are often valid in another: EUC-JP read
as CP932 gives half-width katakana, and "café" in UTF-8 is "caf辿" in EUC-JP. So a reading must also be
plausible, and no other may be as plausible; else nothing is guessed. Bytes of another encoding that
holds any kana are hardly ever valid UTF-8, so UTF-8 goes before a reading without kana.
"""

import codecs
import re

import numpy as np
import numpy.typing as npt

NAMES = {"utf-8": "UTF-8", "cp932": "CP932", "euc_jp": "EUC-JP", "iso2022_jp": "ISO-2022-JP"}
# Vendors put NEC's row 13 (①, ㈱, ㍻) into EUC-JP; Python has those only in the wider set.
_WIDER = {"euc_jp": "euc_jis_2004"}
PLAUSIBLE = 0.85  # share of ordinary characters among those beyond ASCII
_KANA = re.compile("[ぁ-んァ-ヶ]")
MARGIN = 0.2  # by which the best reading must lead


class UndecodableError(Exception):
    """No reading, or more than one; the message says of each encoding where it breaks."""


def decode_japanese(data: bytes) -> str:
    """The text of a whole file. Raises UndecodableError rather than guess."""
    if data.startswith(codecs.BOM_UTF8):
        return _decode(data[3:], "utf-8")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _plausible_utf16(data)
    if data.isascii():
        return _decode(data, "iso2022_jp" if b"\x1b$" in data else "ascii")
    readings: dict[str, str] = {}
    problems = []
    for encoding in ("utf-8", "cp932", "euc_jp"):
        try:
            readings[encoding] = _decode(data, encoding)
        except UndecodableError as error:
            problems.append(str(error))
    if not readings:
        raise UndecodableError("; ".join(problems))
    if "utf-8" in readings:
        readings = {name: text for name, text in readings.items() if name == "utf-8" or _KANA.search(text)}
    scores = {encoding: plausibility(text) for encoding, text in readings.items()}
    best = max(scores, key=lambda encoding: scores[encoding])
    rivals = [score for encoding, score in scores.items() if encoding != best]
    if scores[best] >= PLAUSIBLE and all(scores[best] - score >= MARGIN for score in rivals):
        return readings[best]
    if "utf-8" in readings and all(score < PLAUSIBLE for score in scores.values()):
        return readings["utf-8"]  # of a script that only Unicode has
    problems += [f"{score:.0%} plausible as {NAMES[name]}" for name, score in scores.items()]
    raise UndecodableError("; ".join(problems))


def _plausible_utf16(data: bytes) -> str:
    """Nearly any bytes are valid UTF-16, so the mark alone proves nothing: binary files begin with it too."""
    text = _decode(data, "utf-16")
    score = plausibility(text)
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    ascii_text = ((codes >= 0x20) & (codes < 0x7F)) | np.isin(codes, (0x09, 0x0A, 0x0D))
    if score >= PLAUSIBLE or not len(codes) or ascii_text.mean() >= 0.5:
        return text
    raise UndecodableError(f"{score:.0%} plausible as UTF-16, which its byte order mark states")


def decode_as(data: bytes, encoding: str) -> str:
    """The text in an encoding that someone stated. Raises UndecodableError at the first wrong byte."""
    return _decode(data.removeprefix(codecs.BOM_UTF8) if encoding == "utf-8" else data, encoding)


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding in _WIDER:
            try:
                return data.decode(_WIDER[encoding])
            except UnicodeDecodeError:
                pass
        place = f"byte {error.start} (0x{data[error.start]:02x})"
        raise UndecodableError(f"not {NAMES.get(encoding, encoding)} at {place}") from None


def plausibility(text: str) -> float:
    """Share of kana, punctuation and the kanji of JIS level 1 among the characters beyond ASCII.

    Half-width katakana and the rare kanji of level 2 count against a reading: wrong ones are made of them.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    codes = codes[codes >= 0x80]
    if not len(codes):
        return 0.0
    return float(_ORDINARY[np.minimum(codes, 0xFFFF)].mean())


def _ordinary() -> npt.NDArray[np.bool_]:
    rows = (*range(0xA1, 0xA6), *range(0xB0, 0xD0))  # punctuation, signs, letters, kana; level 1
    pairs = [(bytes((row, cell)), "euc_jp") for row in rows for cell in range(0xA1, 0xFF)]
    pairs += [(bytes((0x87, cell)), "cp932") for cell in range(0x40, 0x9D)]  # row 13
    text = "".join(pair.decode(encoding, "ignore") for pair, encoding in pairs)
    table = np.zeros(0x10000, bool)
    table[[ord(character) for character in text if ord(character) >= 0x80]] = True
    table[[0xFF5E, 0x2225, 0xFF0D, 0xFFE0, 0xFFE1, 0xFFE2]] = True  # what CP932 maps otherwise
    return table


_ORDINARY = _ordinary()
