"""Boilerplate lines: which go, by kind, and which sentences stay."""

import re

import pytest
from clean_texts import OTHER_PROSE, PROSE, normalized_text, without_lines
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from components.clean.lines import FLAGS, PATTERNS, LineKind


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ホーム | 会社概要 | お問い合わせ | サイトマップ", LineKind.NAVIGATION),
        ("トップページ", LineKind.NAVIGATION),
        ("ホーム > 観光 > 松山の歩き方", LineKind.NAVIGATION),
        ("前へ 1 2 3 4 5 次へ", LineKind.NAVIGATION),
        ("ツイート シェア はてなブックマーク LINEで送る", LineKind.SHARING),
        ("この記事をシェアする", LineKind.SHARING),
        ("Copyright (C) 2012 松山商店 All Rights Reserved.", LineKind.FOOTER),
        ("2011年5月 (12)", LineKind.ARCHIVE),
        ("カテゴリー：旅行", LineKind.ARCHIVE),
        ("コメント(3) | トラックバック(0)", LineKind.ARCHIVE),
        ("春の松山城を歩いてきました。桜が… 続きを読む", LineKind.TEASER),
        ("当サイトでは、サービス向上のためCookieを使用しています。詳しくはこちら。", LineKind.COOKIES),
        ("すべてのCookieを受け入れる", LineKind.COOKIES),
        ("クッキーの使用について", LineKind.COOKIES),
        ("We use cookies to give you the best experience on our website.", LineKind.COOKIES),
        ("By continuing to use this site you accept our use of cookies.", LineKind.COOKIES),
        ("Accept all cookies", LineKind.COOKIES),
        ("Home | About us | Contact us | Privacy Policy", LineKind.NAVIGATION),
        ("Share this: Facebook | Twitter | Pinterest", LineKind.SHARING),
    ],
)
def test_boilerplate_line_of_a_kind_is_removed_and_counted(line, kind):
    text, counts = without_lines(f"{PROSE}\n{line}\n{OTHER_PROSE}", *LineKind)
    assert counts == {kind: 1}
    assert text == f"{PROSE}\n\n{OTHER_PROSE}"


@pytest.mark.parametrize(
    "line",
    [
        "ホームから海が見える駅です。",
        "アクセスは松山駅から歩いて十分です。",
        "検索の仕組みを説明します。",
        "2011年5月に訪れました。",
        "この記事は友人がシェアしてくれたものです。",
        "「もう帰ろうか……」",
        "メニューには魚の料理が並びます。",
        "クッキーを焼いて友人に配りました。",
        "当店では毎朝クッキーを焼いています。",
        "The server sends cookies with every answer, and the browser keeps them.",
        "You can share this recipe with your family, and it keeps for a week.",
    ],
)
def test_sentence_with_a_menu_word_stays(line):
    assert without_lines(line, *LineKind) == (line, {})


EVERY_PATTERN = [(kind, place) for kind in LineKind for place in range(len(PATTERNS[kind]))]


@pytest.mark.parametrize(("kind", "place"), EVERY_PATTERN)
def test_line_that_matches_a_pattern_holds_a_trigger_word(kind, place):
    pattern = re.compile(PATTERNS[kind][place], FLAGS)

    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.from_regex(pattern, fullmatch=True))
    def check(drawn):
        line = normalized_text(drawn).strip()
        assume(line and len(line) <= 400 and pattern.fullmatch(line))
        assert without_lines(f"前\n{line}\n後", kind) == ("前\n\n後", {kind: 1})

    check()


@pytest.mark.parametrize(
    "line", ["- " * 190 + "menu!", "x " * 190 + "y!", "ホーム " * 90 + "。", "2011年5月 (1) " * 30 + "!"]
)
def test_line_that_nearly_matches_is_given_up_at_once(line):
    """A pattern that could be read in several ways would take longer than the age of the world."""
    assert without_lines(line, *LineKind)[1] == {}
