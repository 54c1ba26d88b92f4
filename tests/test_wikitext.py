"""Wikitext to text, case by case: what other extractors leave in, lose or break."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.crawl.dump_xml import Page
from components.crawl.wikipedia import rejection
from components.crawl.wikitext import extract_text


def cases(*pairs):
    return pytest.mark.parametrize(("wikitext", "text"), pairs, ids=[f"case{n}" for n in range(len(pairs))])


@cases(
    ("前\n{| class=wikitable\n! 甲 !! 乙\n|-\n| [[一]] || {{B|二}}\n|}\n後", "前\n\n後"),
    ("前\n:{|\n|-\n|{|\n| 中\n|}\n|}\n後", "前\n\n後"),
    ("前\n{|\n| a\n{|\n| b\n|}\n後は表の中\n== 節 ==\n続き", "前\n\n節\n続き"),  # never closed
    ("前\n|}\n後", "前\n後"),
    ("{{col-begin}}\n{{col-break}}\n* 一\n{{col-break}}\n* 二\n{{col-end}}", "一\n\n二"),
    ("前\n{{表の始まり}}\n|-\n| a || b\n! 見出し !! 列\n{{表の終わり}}\n後", "前\n\n後"),
    ("前\n{{(!}} class=x\n{{!}} a\n{{!)}}\n後", "前\n\n後"),
    ("前\n<table><tr><td>甲<table><tr><td>乙</td></tr></table></td></tr></table>後", "前\n後"),
    ("{{Infobox\n| 名 = 甲\n| 値 = 乙\n本文は続く。", "Infobox\n本文は続く。"),  # never closed
    ("{{Foo|\n{|\n| a\n|}}}\n後", "後"),
    ("集合{|x| x>0}は開。", "集合x| x>0}は開。"),  # inside a line it begins no table
)
def test_tables_leave_nothing(wikitext, text):
    assert extract_text(wikitext) == text


@cases(
    ("* 一\n** [[二]]\n*# 三", "一\n二\n三"),
    ("; 語\n: 説明", "語\n説明"),
    ("{{columns-list|2|\n* 一つ目の項\n* 二つ目の項\n}}", "一つ目の項\n二つ目の項"),
    ("{{div col|colwidth=20em}}\n* 一\n{{div col end}}", "一"),
    ("{{ubl|甲|[[乙]]|{{nowrap|丙}}}}", "甲\n乙\n丙"),
    ("前\n----\n後", "前\n\n後"),
    (" 字下げの行\n　全角の行", "字下げの行\n全角の行"),
    ("<ul><li>一</li><li>二</li></ul>", "一\n\n二"),
)
def test_lists_keep_their_text(wikitext, text):
    assert extract_text(wikitext) == text


@cases(
    ('甲<ref>{{Cite web|url=http://x/<br>}}</ref>乙<ref name="a" />丙<ref group=注 name=b/>', "甲乙丙"),
    ("甲<ref name=a/>乙<ref>注</ref>丙", "甲乙丙"),  # the first one is closed in itself
    ("甲<!-- 一 -->乙\n<!-- 行 -->\n丙", "甲乙\n丙"),
    ("甲<!-- 終わらない", "甲"),
    ("関数<math display=inline>f(x)=\\frac{a}{b_{1}}</math>は連続。", "関数$f(x)=\\frac{a}{b_{1} }$は連続。"),
    ("水<chem>H2O</chem>と{{chem|C|O|2}}", "水H2OとCO2"),
    (
        "10<sup>5</sup>と10<sup>−3</sup>、m<sup>2</sup>、H<sub>2</sub>O、第1<sup>版</sup>",
        "10^5と10^−3、m2、H2O、第1版",
    ),
    ("甲<gallery>\nファイル:a.jpg|説明\n</gallery>乙", "甲乙"),
    ("甲<timeline>ImageSize = width:1</timeline>乙<score>{ c d }</score>丙", "甲乙丙"),
    ('前\n<syntaxhighlight lang="c">\nint main() {}\n</syntaxhighlight>\n後', "前\n\n後"),
    ("関数<code>main()</code>を呼ぶ", "関数main()を呼ぶ"),
    ("記法<nowiki>[[語]]</nowiki>と<nowiki>'''強調'''</nowiki>、<nowiki />終", "記法[[語]]と'''強調'''、終"),
    ("<pre>\n* そのまま\n</pre>", "* そのまま"),
    ("一<br>二<BR />三", "一\n二\n三"),
    ("<poem>\n古池や\n 蛙飛びこむ\n</poem>", "古池や\n蛙飛びこむ"),
    ("<ruby>漢<rp>（</rp><rt>かん</rt><rp>）</rp></ruby>字", "漢（かん）字"),
    ("<span style='color:red'>赤</span><u>線</u><s>消</s><font size=2>字</font>", "赤線消字"),
    ("a < b かつ b > c", "a < b かつ b > c"),
    ("甲<includeonly>型</includeonly><noinclude>乙</noinclude>", "甲乙"),
    (
        "&lt;br&gt; は改行。A&amp;B、5&nbsp;km、&#12354;、&#x3044;、&存在;",
        "<br> は改行。A&B、5 km、あ、い、&存在;",
    ),
    ("甲<div", "甲"),
    ("甲<span style=\n乙", "甲\n乙"),
)
def test_tags_leave_what_a_reader_sees(wikitext, text):
    assert extract_text(wikitext) == text


@cases(
    ("{{読み仮名|'''鍛冶屋'''|かじや}}は", "鍛冶屋（かじや）は"),
    ("{{ruby|漢字|かんじ}}と{{読み仮名 ruby不使用|'''甲'''|こう}}", "漢字（かんじ）と甲（こう）"),
    ("{{仮リンク|甲|en|A}}、{{ill2|乙|en|B}}、{{仮リンク|丙 (町)|en|C|label=丙}}", "甲、乙、丙"),
    ("{{lang|fr|''Paris''}}、{{Lang-de|Ei}}、{{langwithname|en|英語|egg}}", "Paris、Ei、egg"),
    ("{{nihongo|Kyoto|京都|Kyōto}}", "Kyoto (京都, Kyōto)"),
    ("{{convert|5|km|mi}}、{{convert|3|to|4|m|ft|abbr=on}}、{{cvt|1.5|ha}}", "5 km、3-4 m、1.5 ha"),
    ("{{生年月日と年齢|1950|1|2}}生まれ", "1950年1月2日生まれ"),
    ("{{死亡年月日と没年齢|1900|5|6|1980|3|4}}", "1980年3月4日（79歳没）"),
    ("{{死亡年月日と没年齢|1900|3|4|1980|3|4}}", "1980年3月4日（80歳没）"),
    ("{{Start date|2001|5|3}}と{{Start date|2001|5}}", "2001年5月3日と2001年5月"),
    (
        "{{和暦|1989|1|7}}と{{和暦|1989|1|8}}、{{和暦|2019}}、{{和暦|1926}}",
        "昭和64年1月7日と平成元年1月8日、令和元年、昭和元年",
    ),
    ("{{val|1.5|0.1|e=5|u=km}}、{{val|3|ul=m|up=s}}", "1.5±0.1×10^5 km、3 m/s"),
    ("{{frac|1|2}}、{{frac|3|1|4}}、{{frac|5}}", "1/2、3 1/4、1/5"),
    ("{{formatnum:1234567}}と{{formatnum:1,234|R}}と{{formatnum:0.12345}}", "1,234,567と1234と0.12345"),
    ("{{JPY|100}}と{{USD|5}}", "100円と5ドル"),
    ("（{{IPA|/kaʑi/}}）と{{IPAc-en|pron|k|æ|t}}", "（/kaʑi/）と/kæt/"),
    ("{{旧字体|國語}}、{{補助漢字フォント|騭}}、{{CP932フォント|髙}}", "旧字体：國語、騭、髙"),
    ("前\n{{Cquote|名言である。}}\n後", "前\n\n名言である。\n\n後"),
    ("{{要出典|範囲=多い|date=2025年}}と{{要出典|date=2025年}}", "多いと"),
    ("{{nowrap|[[a=b|a=b]]}}、{{nowrap|{{lang|en|2=x=y}}}}", "a=b、x=y"),
    ("{{Template:Nowrap|{{lang|de|[[卵|Ei]]}}}}", "Ei"),
    ("{{lang|en|A|}}{{lang|\nen |B\n}}", "AB"),
    ("{{{1|既定}}}と{{{名}}}", "既定と"),
    ("{{HMS|Hood|51}} と {{circa|1900}}", "HMS Hood と c. 1900"),
    ("{{基礎情報 町|名={{lang|en|x}}|画像=[[ファイル:a.jpg|[[b]]]]}}本文", "本文"),
    ("{{lc:ABC}}{{ucfirst:abc}}", "abcAbc"),
)
def test_templates_keep_the_words_of_their_sentence(wikitext, text):
    assert extract_text(wikitext) == text


@cases(
    ("{{birth date|1950|1|2}}", "January 2, 1950"),
    ("{{birth date and age|1950|1|2|df=yes}}", "2 January 1950"),
    ("{{start date|2001|5}}, {{as of|2010}}", "May 2001, As of 2010"),
    ("{{USD|5}} and {{JPY|100}}", "US$5 and ¥100"),
)
def test_templates_of_dates_and_amounts_in_english(wikitext, text):
    assert extract_text(wikitext, language="en") == text


@cases(
    ("[[ファイル:a.jpg|thumb|[[山]]の{{nowrap|写真}}（[[川|河]]）]]本文", "本文"),
    ("[[File:a.jpg|thumb|説明が終わらない\n本文", "本文"),
    ("[[画像:a.jpg]][[Image:b.png|20px]]甲", "甲"),
    ("[[Category:町]]甲[[カテゴリ:村|*]]", "甲"),
    ("[[:Category:町|町の一覧]]と[[:Category:村]]、[[:ファイル:a.jpg]]", "町の一覧と村、"),
    ("甲[[en:A]][[zh-min-nan:B]][[simple:C]]", "甲"),
    ("[[link]]s、[[首都|都]]市", "links、都市"),
    ("[[A|[[B]]]]", "B"),
    ("[[甲#節|乙]]、[[#歴史]]、[[/下位]]、[[wikt:語]]", "乙、歴史、下位、語"),
    ("[[甲|]]、[[甲|一|二]]", "甲、一|二"),
    ("[http://x.example 題]と[//y.example z]、[http://x.example]、http://z.example/ を見よ", "題とz、http://z.example/ を見よ"),
    ("[[http://x.example 題]]", "題"),
    ("[[甲", "甲"),
    ("甲]]乙", "甲乙"),
    ("[[甲 [[乙]] 丙", "甲 乙 丙"),
    ("{{lang|en|[[未完}}本文", "未完本文"),
    ("''斜体''と'''太字'''、'''''両方'''''、''''四", "斜体と太字、両方、四"),
    ("-{zh-hans:软件;zh-hant:軟體}-と-{字}-", "软件と字"),
    ("__TOC__甲__目次強制__乙__NOTOC__ __init__", "甲乙 __init__"),
)  # fmt: skip
def test_links_and_marks_leave_their_words(wikitext, text):
    assert extract_text(wikitext) == text


@cases(
    ("甲（{{音声|a}}）は町。", "甲は町。"),
    ("甲（{{音声|a}}、英: A）は町。", "甲（英: A）は町。"),
    ("甲（英: A、{{音声|a}}、{{x}}）は町。", "甲（英: A）は町。"),
    ("甲（（{{x}}））「<ref>注</ref>」『』乙", "甲乙"),
    ("甲（ ）乙( , )丙（、）", "甲乙丙"),
    ("The word ({{x}}; {{y}}) is {{z}}.", "The word is."),
    ("main() と f(x)", "main() と f(x)"),
    ("甲、{{x}}、乙", "甲、乙"),
    ("高さは{{高さの型|5m}}。", "高さは5m。"),  # a word is missing before the full stop
    ("高さは{{高さの型|[[5m]]}}である{{脚注の型|p=3}}。", "高さはである。"),
    ("題は「{{強い字|春}}」。", "題は「春」。"),
    ("It is {{unit|5 m}}, as {{x}} said.", "It is 5 m, as said."),
    ("甲{{x}} 、乙", "甲、乙"),
)
def test_dropped_markup_leaves_no_hole(wikitext, text):
    assert extract_text(wikitext) == text


@cases(
    ("導入。\n== 章 ==\n本文。\n=== 節 ===\n続き。", "導入。\n\n章\n本文。\n\n節\n続き。"),
    ("導入。\n==[[章]]<ref>注</ref>==\n本文。", "導入。\n\n章\n本文。"),
    ("導入。\n== 空 ==\n{{x}}\n== 章 ==\n本文。", "導入。\n\n章\n本文。"),
    ("導入。\n== 脚注 ==\n注。\n== 余談 ==\n本文。", "導入。\n\n余談\n本文。"),
    ("導入。\n== 歴史 ==\n甲。\n=== 出典 ===\n乙。\n==== 細目 ====\n丙。\n=== 近代 ===\n丁。", "導入。\n\n歴史\n甲。\n\n近代\n丁。"),
    ("導入。\n== 関連項目 ==\n* [[a]]\n== 外部リンク ==\n* b\n[[Category:町]]", "導入。"),
    ("導入。\n== 脚注・出典 ==\n注。\n== 参考文献 ==\n書。\n== 注釈 ==\n甲", "導入。"),
    ("Lead.\n== See also ==\n* x\n== History ==\nText.\n== Notes and references ==\ny", "Lead.\n\nHistory\nText."),
    ("導入。\n== 出典の歴史 ==\n本文。", "導入。\n\n出典の歴史\n本文。"),
    ("= 大見出し =\n本文。", "大見出し\n本文。"),
    ("1 = 1\n=でない", "1 = 1\n=でない"),
)  # fmt: skip
def test_sections_keep_prose_and_lose_sources(wikitext, text):
    assert extract_text(wikitext) == text


@pytest.mark.parametrize(
    ("wikitext", "reason"),
    [
        ("甲は町。", None),
        ("#REDIRECT [[乙]]", "redirect"),
        (" #転送:[[乙]]", "redirect"),
        ("* 甲\n{{Dmbox|type=d}}", "disambiguation"),
        ("* 甲\n{{aimai}}", "disambiguation"),
        ("* 甲\n{{ 人名の曖昧さ回避 }}", "disambiguation"),
        ("* 甲\n{{同名の地名}}", "disambiguation"),
        ("* A\n{{Geodis}}", "disambiguation"),
        ("* A\n{{School disambiguation|x}}", "disambiguation"),
        ("* A\n__DISAMBIG__", "disambiguation"),
        ("{{Otheruses||甲 (曖昧さ回避)}}甲は町。", None),
        ("{{about|x||A (disambiguation)}}A.", None),
        ("{{Redirect|A}} A (disambiguation).", None),
    ],
)
def test_page_is_rejected_with_its_reason(wikitext, reason):
    assert rejection(Page("1", "甲", "0", None, None, wikitext))[0] == reason


_MANY = 50_000
NASTY = {
    "open templates": "{{" * _MANY,
    "open links": "[[" * _MANY,
    "nested templates": "{{" * _MANY + "}}" * _MANY,
    "nested words": "{{lang|en|" * _MANY + "語" + "}}" * _MANY,
    "nested links": "[[a|" * _MANY + "]]" * _MANY,
    "crossed": "{{a[[" * _MANY + "}}" * _MANY,
    "open tables": "\n{|" * _MANY,
    "closed tables": "\n|}" * _MANY,
    "open notes": "<ref>" * _MANY,
    "open tags": "<gallery>" * _MANY,
    "half tags": "<div" * _MANY,
    "nested formulas": "<math>" * _MANY + "</math>" * _MANY,
    "nested powers": "1<sup>" * _MANY + "</sup>" * _MANY,
    "comments": "<!--" * _MANY,
    "equals": "\n" + "=" * _MANY,
    "arguments": "{{{1|" * _MANY + "}}}" * _MANY,
    "variants": "-{" * _MANY + "}-" * _MANY,
    "brackets": "（" * _MANY + "{{x}}" + "）" * _MANY,
    "holes": "（{{a}}" * _MANY + "）" * _MANY,
    "addresses": "[http://" * _MANY,
    "spaces": "\u3000" * _MANY + "字" + " " * _MANY + "\u3000字",
    "halves": "[{" * _MANY + "}]" * _MANY,
    "convert": "{{convert|" + "1|" * _MANY + "}}",
}


@pytest.mark.parametrize("name", NASTY)
def test_nasty_page_ends_without_marks(name):
    """Each of these takes a quadratic pass minutes, and a recursive one the stack."""
    text = extract_text(NASTY[name])
    assert not any(mark in text for mark in ("{{", "}}", "[[", "]]", "{|", "|}"))


_PIECES = st.sampled_from(
    [
        *("{{", "}}", "[[", "]]", "{|", "|}", "|", "=", "\n", "''", "[", "]", "{", "}", "{{{", "}}}", "-{", "}-"),
        *("<ref>", "</ref>", "<math>", "</math>", "<br>", "<sup>", "</sup>", "<table>", "</table>", "<!--", "-->"),
        *("（", "）", "(", ")", "「", "」", "、", "。", "は", " ", "\u3000", "*", "==", "__A__", "&lt;", "&#91;", "&"),
        *("lang|ja|", "和暦|", "formatnum:", "val|", "死亡年月日と没年齢|", "convert|", "File:", "Category:", "http://x "),
        *("a", "1", "1950|", "語", "\ufdd0", "\ufdd3", "\ufdee", "\ufdef", "\ufdef9", "\x00", "\U0001f600"),
    ]
)  # fmt: skip


@given(st.lists(_PIECES | st.text(max_size=5), max_size=40).map("".join))
@settings(max_examples=200, deadline=None)
def test_any_wikitext_becomes_text_without_marks(wikitext):
    text = extract_text(wikitext)
    assert text == text.strip()
    assert not any("\ufdd0" <= character <= "\ufdef" for character in text)
    assert not any(mark in text for mark in ("{{", "}}", "[[", "]]", "\n\n\n"))


def test_literal_passage_keeps_its_marks_and_no_others():
    text = extract_text("[[甲]]<nowiki>[[乙]]</nowiki>\ufdd1\ufdd1丙")
    assert text == "甲[[乙]]丙"
