"""Templates that carry words of a sentence: what of them stays. All others vanish.

Dropping such a template would leave a hole ("is a distance of ."); keeping an unknown one would bring
infobox rows and hatnotes into the text.
"""

from collections.abc import Callable
from typing import Any

# Values of one template: positional ones under "1", "2", ... and named ones, rendered and stripped.
Values = dict[str, str]


def render_template(name: str, values: Values) -> str:
    """The words a template leaves in its sentence; "" for one that is not known."""
    name = normal_name(name)
    if name in RULES:
        return RULES[name](values)
    for prefix, rule in PREFIXES.items():
        if name.startswith(prefix):
            return rule(values)
    return ""


def normal_name(name: str) -> str:
    """Template names ignore case of the first letter, `_` for space and a `Template:` before them."""
    name = " ".join(name.replace("_", " ").split()).lower()
    return name.removeprefix("template:").removeprefix("テンプレート:").strip()


def _first(values: Values) -> str:
    return values.get("1", "")


def _second(values: Values) -> str:
    return values.get("2", "")


def _second_or_first(values: Values) -> str:
    return values.get("2") or values.get("1", "")


def _last(values: Values) -> str:
    return next((values[str(place)] for place in (3, 2, 1) if values.get(str(place))), "")


def _constant(text: str) -> Callable[[Values], str]:
    return lambda _: text


def _reading(values: Values) -> str:
    """読み仮名|漢字|かんじ: the word with its reading behind it."""
    reading = values.get("2", "")
    return f"{values.get('1', '')}（{reading}）" if reading else values.get("1", "")


def _interlanguage(values: Values) -> str:
    """仮リンク|表示|en|Title|label=...: a link to an article that another wiki has."""
    return values.get("label") or values.get("lt") or values.get("1", "")


def _nihongo(values: Values) -> str:
    """nihongo|English|日本語|romaji, any of them absent."""
    english, *rest = (values.get(place, "") for place in "123")
    inside = ", ".join(part for part in rest if part)
    if not english:
        return inside
    return f"{english} ({inside})" if inside else english


def _convert(values: Values) -> str:
    """convert|5|to|6|km|mi: numbers and joining words up to the first unit."""
    joints = {
        "to": "-",
        "-": "-",
        "–": "–",
        "and": " and ",
        "or": " or ",
        "by": " by ",
        "x": " × ",
        "to(-)": "-",
    }
    parts = []
    for place in range(1, 10):
        value = values.get(str(place), "")
        if value.lstrip("-−+.")[:1].isdigit():
            parts.append(value)
        elif value in joints:
            parts.append(joints[value])
        else:
            return f"{''.join(parts)} {value}".strip()
    return "".join(parts)


def _fraction(values: Values) -> str:
    numbers = [values[place] for place in "123" if values.get(place)]
    if len(numbers) == 1:
        return f"1/{numbers[0]}"
    return f"{' '.join(numbers[:-2])} {'/'.join(numbers[-2:])}".strip()


def _number(values: Values) -> str:
    """val|1.5|u=km"""
    unit = values.get("u") or values.get("ul") or ""
    return f"{values.get('1', '')} {unit}".strip()


def _quotation(values: Values) -> str:
    """A quotation stands on lines of its own."""
    text = values.get("1") or values.get("text") or values.get("quote") or ""
    return f"\n{text}\n" if text else ""


def _as_of(values: Values) -> str:
    date = " ".join(values[place] for place in "321" if values.get(place))
    return values.get("alt") or f"{'as of' if values.get('lc') else 'As of'} {date}"


def _doubtful(values: Values) -> str:
    """要出典|範囲=the words in doubt; without them it is a mark only."""
    return values.get("範囲", "")


def _circa(values: Values) -> str:
    return f"c. {values['1']}" if values.get("1") else "c."


def _rules(*groups: tuple[Callable[[Values], str], str]) -> dict[str, Any]:
    return {name.strip().lower(): rule for rule, names in groups for name in names.split("|")}


RULES: dict[str, Callable[[Values], str]] = _rules(
    (_reading, "読み仮名|読み仮名 ruby不使用|よみ|ruby|ルビ|振り仮名|ふりがな|furigana|ruby-ja"),
    (_second, "lang|language|rtl-lang|color|colour|色|font color|fontcolor|coloredlink|script"),
    (
        _interlanguage,
        "仮リンク|ill|ill2|interlanguage link|interlanguage link multi|日本語版にない記事リンク|link-en|illm",
    ),
    (_nihongo, "nihongo|nihongo2|nihongo foot|日本語"),
    (_convert, "convert|cvt|conv"),
    (_fraction, "frac|fraction|sfrac|分数|1/n"),
    (_number, "val|num|gaps|formatnum|nts|formatprice"),
    (_quotation, "quote|quotation|blockquote|cquote|bquote|引用|quote box|centered quote|poem|poemquote"),
    (_as_of, "as of|asof"),
    (_doubtful, "要出典|要検証|疑問点|誰|いつ|どこ|独自研究"),
    (_circa, "circa|c.|ca."),
    (_last, "transl|transliteration|translit"),
    (_second_or_first, "flagcountry2|仮リンク2|font|r-link"),
    (
        _first,
        (
            "nowrap|nobr|nobold|nobreak|j|small|smaller|big|big2|larger|resize|em|strong|b|i|u|sup|sub|smallsup|smallcaps|"
            "unicode|unicodeフォント|補助漢字フォント|jis2004フォント|jis90フォント|cp932フォント|拡張漢字|ipafont|linktext|"
            "abbr|abbrlink|略語|要出典範囲|疑問点範囲|要検証範囲|要説明範囲|visible anchor|vanchor|anchor text|mvar|nobracket|"
            "flag|flagcountry|flagu|country|国旗|code|mono|samp|kbd|var|angbr|title|keypress|weight|height|spell|"
            "zh2|hebrew|ja-text|lj|lang2|縦書き|下線|太字|括弧|section link|tooltip|ツールチップ|hover title|underline|strike|"
            "overline|delink|noitalic|italic|bold|sic|date|start date|ウィキデータ|disp|要追加記述範囲"
        ),
    ),
    (_constant(" "), "nbsp|space|spaces|全角スペース|zwsp|thinsp|hairsp|clear left space"),
    (_constant(" – "), "snd|spnd|spaced ndash|spaced en dash|dot|·"),
    (_constant("–"), "ndash|en dash"),
    (_constant("—"), "mdash|em dash|emdash"),
    (_constant("|"), "!|pipe"),
    (_constant("="), "="),
    (_constant("'"), "'|apostrophe"),
    (_constant("・"), "・|interpunct"),
    (_constant("\n"), "br|-br|break|*"),
    # Country codes stand for the country's name beside its flag.
    (_constant("日本"), "jpn|jpn1|jp"),
    (_constant("アメリカ合衆国"), "usa|usa1"),
    (_constant("イギリス"), "gbr|gbr1|uk"),
    (_constant("フランス"), "fra|fra1"),
    (_constant("ドイツ"), "deu|ger"),
    (_constant("イタリア"), "ita"),
    (_constant("中華人民共和国"), "chn|prc"),
    (_constant("大韓民国"), "kor|kor1"),
)

# Families of names: lang-en|text, lang-fr|text, ...
PREFIXES: dict[str, Callable[[Values], str]] = {
    "lang-": _first,
    "formatnum:": _first,
    "transl-": _first,
}
