"""Boilerplate lines of web pages, by kind: patterns for whole lines, so a word in a sentence is safe.

Only lines with one of a kind's trigger words are compared with its patterns: a test draws lines from
every pattern and holds the triggers to them.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

from components.clean import scan
from components.clean.automaton import Automaton, automaton


class LineKind(StrEnum):
    """Kinds of lines that are no part of the text."""

    NAVIGATION = "navigation"
    SHARING = "sharing"
    COOKIES = "cookies"
    FOOTER = "footer"
    ARCHIVE = "archive"
    TEASER = "teaser"


# ASCII: ſ is no s, the triggers do not know it.
FLAGS = re.IGNORECASE | re.ASCII
_MENU = "|".join([
    "ホーム", "トップ", "トップページ", "top", "home", "メニュー", "menu", "サイトマップ", "site ?map",
    "お問い?合わ?せ", "contact(?: us)?", "会社概要", "会社案内", "企業情報", "about(?: us)?", "プライバシーポリシー",
    "privacy policy", "個人情報保護方針", "利用規約", "terms of (?:use|service)", "特定商取引法に基づく表[示記]",
    "ログイン", "log ?in", "sign ?(?:in|up)", "ログアウト", "新規登録", "会員登録", "無料会員登録", "マイページ",
    "カート(?:を見る|に入れる)?", "買い物かご", "検索", "サイト内検索", "search", "ヘルプ", "help", "よくある(?:ご)?質問",
    "faq", "rss", "お知らせ", "お知らせ一覧", "新着情報", "採用情報", "アクセス", "アクセスマップ", "リンク集", "掲示板",
    "プロフィール", "(?:商品|サービス|店舗|記事)?一覧(?:へ|に)?(?:戻る)?", "ブログ", "blog", "カテゴリー?(?:一覧)?", "categor(?:y|ies)",
    "タグ(?:一覧)?", "アーカイブ", "archives?", "最近の(?:記事|投稿|コメント)", "recent posts", "人気の?記事(?:ランキング)?",
    "関連記事", "related (?:posts|articles)", "(?:前|次)の?(?:記事|ページ)?(?:へ)", "(?:前|次)の(?:記事|ページ)", "戻る", "進む",
    "prev(?:ious)?", "next", "トップ(?:ページ)?(?:へ|に)戻る", "(?:この)?ページの?(?:先頭|トップ|top)(?:へ|に)?(?:戻る)?",
    "page ?top", "続きを読む", "もっと(?:見る|読む)", "read more", "詳細を見る", "本文へ(?:スキップ|移動)?",
    "skip to (?:main )?content", "広告", "スポンサー(?:ド)?リンク", "advertisement", "印刷(?:する)?",
])  # fmt: skip
_SHARE = "|".join([
    "ツイート(?:する)?", "tweet", "シェア(?:する)?", "share(?: this)?", "いいね[!！]?", "like", "はてなブックマーク(?:に追加)?",
    "はてブ", "lineで送る", "line", "facebook(?:で(?:シェア|共有)(?:する)?)?", "twitter(?:で(?:シェア|共有)(?:する)?)?", "x",
    "instagram", "pocket", "pinterest", "feedly", "rss", "フォロー(?:する)?", "ブックマーク(?:する)?", "メールで送る", "コピー",
])  # fmt: skip
_GAP = r"[ \t|｜/＞>»›≫・:：\[\]【】*•●■□◆▶▲△←→«‹<\-]"
# No character of _GAP is one of _SHORT: else a line of dashes could be read in exponentially many ways.
_SHORT = r"[^ \t\n|｜/＞>»›≫・:：\[\]【】*•●■□◆▶▲△←→«‹<\-。、，,.!?！？]{1,14}"
_LABEL = r"カテゴリー?|タグ|投稿者|投稿日時?|更新日時?|公開日|最終更新日?|記事id|category|tags?|posted (?:by|on|in)|filed under"
_COUNT = r"(?:コメント|トラックバック|閲覧数|pv|comments?|trackbacks?)[ \t]?[(（:：][ \t]*[0-9,]+[ \t]*[)）]?"
_COOKIE = r"(?:cookies?|クッキー)(?: ?[(（](?:cookies?|クッキー)[)）])?"

PATTERNS = {
    # One menu word alone; two of them among short words; a breadcrumb; numbers of result pages.
    LineKind.NAVIGATION: [
        rf"{_GAP}*(?:{_MENU}){_GAP}*",
        rf"{_GAP}*(?:{_SHORT}{_GAP}+)*(?:{_MENU})(?:{_GAP}+{_SHORT})*{_GAP}+(?:{_MENU})(?:{_GAP}+{_SHORT})*{_GAP}*",
        r"(?:ホーム|トップ(?:ページ)?|top|home)[ \t]*[>＞»›≫][^\n。、，.?？]{0,80}",
        r"(?:前へ|prev|«|<)?[ \t]*(?:\[?[0-9]{1,3}\]?[ \t|]+){2,20}\[?[0-9]{1,3}\]?[ \t]*(?:\.\.\.|…)?[ \t]*(?:次へ|next|»|>)?",
    ],
    LineKind.SHARING: [
        rf"{_GAP}*(?:{_SHARE})(?:(?:{_GAP}|[0-9()])+(?:{_SHARE}))*(?:{_GAP}|[0-9()])*",
        r"この(?:記事|ページ|エントリー?|投稿)を(?:シェア|共有|ツイート|ブックマーク|sns)[^\n。、，.?？]{0,40}",
        r"share (?:this|on)[^\n。、，.?？]{0,60}",
    ],
    # The banner's sentence begins with whose cookies they are; buttons and links are a line each.
    LineKind.COOKIES: [
        rf"(?:当|本|この|弊社)(?:ウェブ|web)?(?:サイト|ページ|サービス)(?:で)?は、?[^\n。]{{0,40}}{_COOKIE}[^\n]{{0,160}}",
        rf"{_COOKIE}(?:の(?:使用|利用|設定|受け入れ|管理|詳細)|を(?:使用|利用|受け入れ|許可|拒否)|に(?:ついて|同意)|設定|ポリシー)[^\n。]{{0,30}}",
        rf"(?:すべての|全ての|必須の?)?{_COOKIE}(?:を|に)?(?:受け入れる|許可する?|同意する?|拒否する?|承諾する?)",
        r"(?:we|this (?:web)?site|our (?:web)?site)(?: and our partners)? uses? cookies[^\n]{0,20}(?:to|for|and|on|\.)[^\n]{0,200}",
        r"by (?:continuing|using|browsing|clicking)[^\n]{0,80}cookies?[^\n]{0,120}",
        r"(?:accept|reject|allow|manage|decline)(?: all)?(?: optional)? cookies?(?: settings| preferences)?[.!]?",
        r"cookies? (?:policy|settings|preferences|notice|consent)",
    ],
    LineKind.FOOTER: [
        r"(?:copyright|\(c\)|©)[^\n]{0,120}",
        r"[^\n。]{0,120}all rights reserved\.?",
        r"powered by [^\n]{0,60}",
        r"[^\n。]{0,40}(?:無断転載|無断複製|無断使用)[^\n]{0,40}",
    ],
    LineKind.ARCHIVE: [
        r"(?:[0-9]{4}年(?:[ \t]?[0-9]{1,2}月)?[ \t]?[(（][0-9]+[)）][ \t|｜・,、]*)+",
        rf"(?:{_LABEL})[ \t]?[:：][^\n。]{{0,60}}",
        rf"{_COUNT}(?:[ \t|｜/・]*{_COUNT})*",
    ],
    LineKind.TEASER: [
        r"[^\n]{0,200}(?:…|\.\.\.)[ \t]*[\[(（<【]?(?:続きを読む|続きはこちら|続き|もっと(?:見る|読む)|read more|詳細)[^\n]{0,4}",
    ],
}  # fmt: skip

# Every line that matches a pattern of the kind holds one of these (the numbers of pages: none).
_TRIGGERS = {
    LineKind.NAVIGATION: "ホーム トップ top home メニュー menu マップ map 合わせ 合せ contact 会社 企業情報 about プライバシー privacy 個人情報 規約 terms 特定商取引 ログ log sign 登録 マイページ カート 買い物 検索 search ヘルプ help 質問 faq rss お知らせ 新着 採用 アクセス リンク 掲示板 プロフィール 一覧 カテゴリ categor タグ アーカイブ archive 最近の recent 人気 関連 related 前へ 次へ 前の 次の 前ページ 次ページ 前記事 次記事 戻る 進む prev next ページ page 続きを もっと read 詳細 本文へ skip 広告 advertisement 印刷",
    LineKind.SHARING: "ツイート tweet シェア share いいね like はてな はてブ line facebook twitter x instagram pocket pinterest feedly rss フォロー ブックマーク メールで コピー を共有 をsns この記事を このページを このエントリ この投稿を share_this share_on",
    LineKind.COOKIES: "cookie クッキー",
    LineKind.FOOTER: "copyright (c) © reserved powered 無断",
    LineKind.ARCHIVE: "",
    LineKind.TEASER: "続き もっと read 詳細",
}
_LABELS = ["カテゴリ", "カテゴリー", "タグ", "投稿者", "投稿日", "投稿日時", "更新日", "更新日時", "更新", "公開日", "最終更新", "最終更新日", "記事id", "category", "tag", "tags"]  # fmt: skip
_LABELS += ["posted by", "posted on", "posted in", "filed under"]
_COUNTED = ["コメント", "トラックバック", "閲覧数", "pv", "comment", "comments", "trackback", "trackbacks"]
_ARCHIVE_WORDS = [
    word + gap + mark
    for words, marks in ((_LABELS, ":："), (_COUNTED, "(（:："))
    for word in words
    for gap in ("", " ", "\t")
    for mark in marks
]
_BITS = {kind: getattr(scan, kind.name) for kind in LineKind}
_OTHER_TRIGGERS = {"(at)": scan.EMAIL, "[at]": scan.EMAIL, "住所": scan.PLACE, "…": scan.CUT, "...": scan.CUT}


def line_bits(kinds: Sequence[LineKind]) -> int:
    """The bits by which `suspicious_lines` tells lines that may be of these kinds."""
    return sum(_BITS[kind] for kind in kinds)


@lru_cache
def triggers(kinds: tuple[LineKind, ...]) -> Automaton:
    """Words that make a line worth a look, for boilerplate of these kinds or for personal data."""
    bits: dict[str, int] = dict(_OTHER_TRIGGERS)
    for kind in kinds:
        words = [word.replace("_", " ") for word in _TRIGGERS[kind].split()]
        for word in words if kind is not LineKind.ARCHIVE else _ARCHIVE_WORDS:
            bits[word] = bits.get(word, 0) | _BITS[kind]
    return automaton(list(bits), list(bits.values()))


@lru_cache(1 << 16)  # a site's menu stands on all its pages
def line_kind(line: str, suspected: int, kinds: tuple[LineKind, ...]) -> LineKind | None:
    """The first of `kinds` that the line is of; suspected: the bits of `suspicious_lines`."""
    text = line.strip(" \t")
    for kind in kinds:
        if suspected & _BITS[kind] and _whole_line(kind).fullmatch(text):
            return kind
    return None


@lru_cache
def _whole_line(kind: LineKind) -> re.Pattern[str]:
    return re.compile("|".join(PATTERNS[kind]), FLAGS)
