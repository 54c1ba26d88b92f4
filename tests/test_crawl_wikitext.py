"""Wikitext to text: what a reader would read aloud stays, markup and holes do not."""

import pytest

from components.crawl.dump_xml import Page
from components.crawl.minutes import meeting_text
from components.crawl.wikipedia import rejection
from components.crawl.wikitext import extract_text
from components.crawl.wikitext.tables import drop_tables


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''東京都'''は[[日本]]の[[首都 (行政)|首都]]。", "東京都は日本の首都。"),
        ('人口<ref name=a>{{Cite web|url=x}}</ref>は多い<ref name="a" />。', "人口は多い。"),
        ("前<!-- 消す -->後", "前後"),
        ("前<br />後", "前\n後"),
        ("[[ファイル:a.jpg|thumb|説明の[[語]]]]本文[[Category:町]][[en:Town]]", "本文"),
        ("[[:Category:町]]を見よ", "町を見よ"),
        ("[https://a.example 題名]と[https://b.example]", "題名と"),
        ("* 一\n** [[二]]\n# 三\n; 四\n: 五", "一\n二\n三\n四\n五"),
        ("<poem>\n古池や\n蛙飛びこむ\n</poem>", "古池や\n蛙飛びこむ"),
        ("式は<math>x^2</math>で<gallery>\na.png|題\n</gallery>ある", "式は$x^2$である"),
        ("<ruby>鍛冶<rp>（</rp><rt>かじ</rt><rp>）</rp></ruby>屋", "鍛冶（かじ）屋"),
        ("5&nbsp;km &amp; 3&#176;", "5 km & 3°"),
        ("__TOC____目次強制__本文", "本文"),
        ("x<div style='a'>中</div><span>身</span>", "x\n中\n身"),
    ],
)
def test_extract_markup_leaves_only_its_words(wikitext, text):
    assert extract_text(wikitext) == text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("{{読み仮名|鍛冶屋|かじや}}は職人。", "鍛冶屋（かじや）は職人。"),
        ("{{仮リンク|表示名|en|Foo}}と{{仮リンク|長い名|en|Foo|label=名}}", "表示名と名"),
        ("{{lang|fr|Paris}}、{{lang-en|Tokyo}}", "Paris、Tokyo"),
        ("長さは{{convert|5|km|mi}}、{{convert|3|to|4|m|ft}}。", "長さは5 km、3-4 m。"),
        ("{{nihongo|Kyoto|京都|Kyōto}} is old.", "Kyoto (京都, Kyōto) is old."),
        ("{{formatnum:1400}}人、{{要出典|範囲=多い|date=2025年}}{{要出典|date=2025年}}", "1,400人、多い"),
        ("{{Template:Nowrap|{{lang|de|Ei}}}}", "Ei"),
        ("{{基礎情報 町|名=甲|画像=[[ファイル:a.jpg]]}}本文{{知らない|語}}", "本文"),
    ],
)
def test_extract_template_keeps_words_of_its_sentence(wikitext, text):
    assert extract_text(wikitext) == text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("甲（{{音声|ko}}）は乙。", "甲は乙。"),
        ("甲（{{音声|ko}}、英: A、{{音声|x}}）は乙。", "甲（英: A）は乙。"),
        ("甲（（{{x}}））「{{x}}」", "甲"),
        ("main() を呼ぶ", "main() を呼ぶ"),
        ("The word ({{音声|x}}) is, {{x}}, new {{x}}.", "The word is, new."),
    ],
)
def test_extract_dropped_markup_leaves_no_hole(wikitext, text):
    assert extract_text(wikitext) == text


@pytest.mark.parametrize(
    "broken", ["{{未完", "[[未完", "{| 未完", "<ref>未完", "'''未完", "}}", "]]", "<div", "{{{x"]
)
def test_extract_unbalanced_markup_leaves_no_marks(broken):
    text = extract_text(f"前の文。\n{broken}\n== 節 ==\n後の文。")
    assert text.startswith("前の文。")
    assert not any(mark in text for mark in ("{{", "[[", "{|", "}}", "]]", "<ref", "'''"))


def test_extract_note_in_nowiki_swallows_no_text():
    text = extract_text("記法<nowiki><ref></nowiki>を使う。本文。<ref name=x>注<br/>記</ref>終わり。")
    assert "本文。終わり。" in text
    assert "注" not in text


def test_tables_nested_go_whole():
    assert drop_tables("前\n{| a\n| {{B|c}} ||\n{|\n| 中\n|}\n|}\n後") == "前\n\n後"


def test_table_that_never_ends_goes_up_to_the_next_heading():
    assert extract_text("前\n{| a\n| b\n== 節 ==\n後") == "前\n\n節\n後"


def test_extract_closing_sections_end_the_article():
    article = "導入。\n== 歴史 ==\n本文。\n=== 出典 ===\n節の出典\n=== 近代 ===\n近代。\n== 脚注 ==\nx\n== 余談 ==\ny"
    assert extract_text(article) == "導入。\n\n歴史\n本文。\n\n近代\n近代。\n\n余談\ny"
    assert extract_text("Lead.\n== See also ==\n* [[X]]") == "Lead."


def test_extract_heading_without_text_below_goes():
    article = "導入。\n== 一覧 ==\n{|\n| a\n|}\n== 章 ==\n=== 節 ===\n本文。\n=== 空 ===\n{{x}}"
    assert extract_text(article) == "導入。\n\n章\n\n節\n本文。"


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (Page("1", "甲", "0", None, None, "本文"), None),
        (Page("1", "甲", "0", "乙", None, ""), "redirect"),
        (Page("1", "甲", "0", None, None, "#転送 [[乙]]"), "redirect"),
        (Page("1", "甲", "10", None, None, "本文"), "namespace"),
        (Page("1", "甲", "0", None, None, "* [[甲 (町)]]\n{{Aimai}}"), "disambiguation"),
        (Page("1", "甲", "0", None, None, "* [[甲]]\n{{人名の曖昧さ回避}}"), "disambiguation"),
        (Page("1", "A", "0", None, None, "{{disambiguation|geo}}"), "disambiguation"),
        (Page("1", "A", "0", None, None, "{{about|x|y|A (disambiguation)}} A."), None),
    ],
)
def test_page_that_is_no_article_is_rejected_with_its_reason(page, reason):
    assert rejection(page)[0] == reason


def test_meeting_speeches_stand_in_order_once_and_without_the_header():
    speeches = [
        {"speechID": f"m_{order}", "speechOrder": order, "speech": text, "speaker": "甲"}
        for order, text in [(2, "○乙君　後。"), (0, "出席者"), (1, "○甲君　先。"), (2, "○乙君　後。")]
    ]
    assert meeting_text({"speeches": speeches}) == "○甲君　先。\n\n○乙君　後。"
