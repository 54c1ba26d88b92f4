"""The names that pages give their encodings, as browsers read them (the labels of the WHATWG Encoding Standard).

Python knows more codecs than the web (`undefined`, `idna`, `unicode_escape`, `rot13`), so a name out of a page
is never handed to it: what is not in this table is as good as not stated.
"""

# Python's codec, and the web's labels for it. Where the standard reads a name more widely (shift_jis with
# Microsoft's characters, gb2312 as gb18030, euc-kr as Windows-949), so does the codec here.
_LABELS = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
    "utf-16-le": "utf-16 utf-16le csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff",
    "utf-16-be": "utf-16be unicodefffe",
    "cp932": "shift_jis shift-jis sjis x-sjis csshiftjis ms932 ms_kanji windows-31j",
    "euc_jp": "euc-jp x-euc-jp cseucpkdfmtjapanese",
    "iso2022_jp": "iso-2022-jp csiso2022jp",
    "gb18030": "gb18030 gbk x-gbk chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 iso-ir-58",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "cp949": "euc-kr cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 "
    "windows-949",
    "cp1250": "windows-1250 cp1250 x-cp1250",
    "cp1251": "windows-1251 cp1251 x-cp1251",
    "cp1252": "windows-1252 cp1252 x-cp1252 ascii us-ascii iso-8859-1 iso8859-1 iso88591 iso_8859-1 iso-ir-100 "
    "l1 latin1 cp819 ibm819 csisolatin1 ansi_x3.4-1968",
    "cp1253": "windows-1253 cp1253 x-cp1253",
    "cp1254": "windows-1254 cp1254 x-cp1254 iso-8859-9 iso8859-9 iso_8859-9 latin5 l5 csisolatin5",
    "cp1255": "windows-1255 cp1255 x-cp1255",
    "cp1256": "windows-1256 cp1256 x-cp1256",
    "cp1257": "windows-1257 cp1257 x-cp1257",
    "cp1258": "windows-1258 cp1258 x-cp1258",
    "cp874": "windows-874 dos-874 tis-620 iso-8859-11 iso8859-11",
    "koi8_r": "koi8-r koi8 koi koi8_r cskoi8r",
    "koi8_u": "koi8-u koi8-ru",
    "cp866": "ibm866 866 cp866 csibm866",
    "mac_roman": "macintosh mac x-mac-roman csmacintosh",
    "mac_cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "iso8859_2": "iso-8859-2 iso8859-2 iso_8859-2 latin2 l2 csisolatin2",
    "iso8859_6": "iso-8859-6 iso8859-6 iso_8859-6 arabic csisolatinarabic",
    "iso8859_7": "iso-8859-7 iso8859-7 iso_8859-7 greek csisolatingreek",
    "iso8859_8": "iso-8859-8 iso8859-8 iso_8859-8 hebrew visual logical iso-8859-8-i csisolatinhebrew",
    "iso8859_5": "iso-8859-5 iso8859-5 iso_8859-5 cyrillic csisolatincyrillic",
    **{f"iso8859_{n}": f"iso-8859-{n} iso8859-{n} iso_8859-{n}" for n in (3, 4, 10, 13, 14, 15, 16)},
}
_CODECS = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}


def web_codec(label: str) -> str | None:
    """Python's codec for a label of the web, or None for one that browsers do not know either."""
    return _CODECS.get(label.strip().lower())


def meta_codec(label: str) -> str | None:
    """The codec for a label in <meta>: whoever could read it there reads no UTF-16, so the standard says UTF-8."""
    codec = web_codec(label)
    return "utf-8" if codec in ("utf-16-le", "utf-16-be") else codec
