"""Templates that carry words of a sentence: what of them stays. All others vanish.

Dropping such a template would leave a hole ("is a distance of ."); keeping an unknown one would bring
infobox rows and hatnotes into the text.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

from components.crawl.wikitext.dates import DATE_RULES
from components.crawl.wikitext.quantities import QUANTITY_RULES
from components.crawl.wikitext.rules import Rule, Values, by_name, positional
from components.crawl.wikitext.tags import HOLE

_LONGEST_NAME = 256  # bytes of a title in MediaWiki; more is text that no template stands in


@lru_cache
def rules_of(language: str) -> Mapping[str, Rule]:
    """Rules by normal name, as the wikis of a language show these templates."""
    written = "ja" if language == "ja" else "en"
    return {**RULES, **QUANTITY_RULES[written], **DATE_RULES[written]}


def find_rule(source: str, rules: Mapping[str, Rule]) -> Rule | None:
    """The rule of a template by the wikitext behind its `{{`; None for one that vanishes."""
    source = source.partition("|")[0]
    name = normal_name(source) if len(source) < _LONGEST_NAME else ""
    if rule := rules.get(name):
        return rule
    function, colon, _ = name.partition(":")
    if colon:
        return rules.get(function.strip() + ":")
    return _first if name.startswith(("lang-", "transl-")) else None


@lru_cache(maxsize=1 << 15)
def normal_name(name: str) -> str:
    """Template names ignore case of the first letter, `_` for space and a `Template:` before them."""
    name = " ".join(name.replace("_", " ").replace(HOLE, "").split()).lower()
    return name.removeprefix("template:").removeprefix("テンプレート:").strip()


def first_words(values: Values) -> str:
    """For a template that nobody described but whose sentence needs a word: its first argument."""
    words = values.get("1", "")
    return "" if "://" in words else words


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


def _quotation(values: Values) -> str:
    """A quotation stands on lines of its own."""
    text = values.get("1") or values.get("text") or values.get("quote") or ""
    return f"\n{text}\n" if text else ""


def _doubtful(values: Values) -> str:
    """要出典|範囲=the words in doubt; without them it is a mark only."""
    return values.get("範囲", "")


def _list(values: Values) -> str:
    """hlist|a|b: each item on a line of its own, as bullet text is."""
    return "\n" + "\n".join(item for item in positional(values) if item) + "\n"


def _longest(values: Values) -> str:
    """columns-list|2|content: the content, wherever it stands beside widths and counts."""
    return f"\n{max([*positional(values), values.get('content', '')], key=len)}\n"


def _pronunciation(values: Values) -> str:
    """IPAc-en|pron|ˈ|k|j|oʊ: a row of phones, words before them say whose pronunciation it is."""
    phones = [one for one in positional(values) if not (one.isascii() and len(one) > 2)]
    return f"/{''.join(phones)}/" if phones else ""


def _chinese(values: Values) -> str:
    """zh|t=國|s=国|p=guó: the forms in the order given, each once."""
    forms = [values.get(key, "") for key in ("1", "c", "t", "s", "p", "hp")]
    return ", ".join(dict.fromkeys(form for form in forms if form))


def _third_or_second(values: Values) -> str:
    """langwithname|en|英語|text, llang|en|text"""
    return values.get("3") or values.get("2", "")


def _ship(values: Values) -> str:
    """HMS|Hood|51 shows HMS Hood; the prefix is the template's name and comes under "0"."""
    return f"{values.get('0', '')} {values.get('1', '')}".strip()


def _old_form(values: Values) -> str:
    return f"旧字体：{values['1']}" if values.get("1") else ""


def _raised(values: Values) -> str:
    """10{{sup|5}} is not 105."""
    words = values.get("1", "")
    return f"^{words}" if words.lstrip("-−+").isdigit() else words


def _changed(change: Callable[[str], str]) -> Rule:
    return lambda values: change(values.get("1", ""))


def _circa(values: Values) -> str:
    return f"c. {values['1']}" if values.get("1") else "c."


RULES: dict[str, Rule] = by_name(
    (_reading, "読み仮名|読み仮名 ruby不使用|よみ|ruby|ルビ|振り仮名|ふりがな|furigana|ruby-ja"),
    (_second, "lang|language|rtl-lang|color|colour|色|font color|fontcolor|coloredlink|script"),
    (
        _interlanguage,
        "仮リンク|ill|ill2|interlanguage link|interlanguage link multi|日本語版にない記事リンク|link-en|illm",
    ),
    (_nihongo, "nihongo|nihongo krt|日本語"),
    (
        _list,
        "hlist|flatlist|plainlist|unbulleted list|ubl|ubt|plain list|bulleted list|ordered list|unordered list|箇条書き",
    ),
    (
        _longest,
        "columns-list|columns list|div col|columns|段組|multicol|collapsible list|hidden|非表示|align|center|left|right",
    ),
    (_pronunciation, "ipac-en|ipac-ja|ipac"),
    (_chinese, "zh|lang-zh|zh-cn|zh-tw|zhi"),
    (_third_or_second, "langwithname|lang with name|llang"),
    (_ship, "uss|hms|ss|ms|mv|hmas|hmcs|rms|ijn|usns|uscgc|sms"),
    (_old_form, "旧字体|旧字|舊字体"),
    (_raised, "sup|smallsup"),
    (_changed(str.lower), "lc:"),
    (_changed(str.upper), "uc:"),
    (_changed(lambda text: text[:1].upper() + text[1:]), "ucfirst:"),
    (_changed(lambda text: text[:1].lower() + text[1:]), "lcfirst:"),
    (_quotation, "quote|quotation|blockquote|cquote|bquote|引用|quote box|centered quote|poem|poemquote"),
    (_doubtful, "要出典|要検証|疑問点|誰|いつ|どこ|独自研究"),
    (_circa, "circa|c.|ca."),
    (_last, "transl|transliteration|translit"),
    (_second_or_first, "flagcountry2|仮リンク2|font|r-link"),
    (
        _first,
        (
            "nowrap|nobr|nobold|nobreak|j|small|smaller|big|big2|larger|resize|em|strong|b|i|u|sub|smallcaps|nihongo2|nihongo foot|ipa|ipa-ja|ipa link|ipalink|iast|math|bigmath|mvar|tmath|"
            "unicode|unicodeフォント|補助漢字フォント|jis2004フォント|jis90フォント|cp932フォント|拡張漢字|ipafont|linktext|"
            "abbr|abbrlink|略語|要出典範囲|疑問点範囲|要検証範囲|要説明範囲|visible anchor|vanchor|anchor text|mvar|nobracket|"
            "flag|flagcountry|flagu|country|国旗|code|mono|samp|kbd|var|angbr|title|keypress|spell|"
            "zh2|hebrew|ja-text|lj|lang2|縦書き|下線|太字|括弧|section link|tooltip|ツールチップ|hover title|underline|strike|"
            "overline|delink|noitalic|italic|bold|sic|jisx0213フォント|jisx0212フォント|cjkフォント|漢字フォント|jis x 0213フォント|hanゴシック|lang3|読み|よみがな|傍点|圏点|傍線|取消線|字下げ|angle bracket|supsub|legend-inline|仮名|要ページ番号範囲|要出典2|disp|要追加記述範囲"
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
