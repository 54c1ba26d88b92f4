"""Boilerplate lines of web pages, by kind: patterns for whole lines, so a word in a sentence is safe."""

from enum import StrEnum

import polars as pl


class LineKind(StrEnum):
    """Kinds of lines that are no part of the text."""

    NAVIGATION = "navigation"
    SHARING = "sharing"
    FOOTER = "footer"
    ARCHIVE = "archive"
    TEASER = "teaser"


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
_GAP = r"[\s|｜/＞>»›≫・:：\[\]【】*•●■□◆▶▲△←→«‹<\-]"
_SHORT = r"[^\s|｜/＞>»›≫・。、，,.!?！？]{1,14}"
_LABEL = r"カテゴリー?|タグ|投稿者|投稿日時?|更新日時?|公開日|最終更新日?|記事id|category|tags?|posted (?:by|on|in)|filed under"
_COUNT = r"(?:コメント|トラックバック|閲覧数|pv|comments?|trackbacks?)\s*[(（:：]\s*[0-9,]+\s*[)）]?"

_PATTERNS = {
    # One menu word alone; two of them among short words; a breadcrumb; numbers of result pages.
    LineKind.NAVIGATION: [
        rf"{_GAP}*(?:{_MENU}){_GAP}*",
        rf"{_GAP}*(?:{_SHORT}{_GAP}+)*(?:{_MENU})(?:{_GAP}+{_SHORT})*{_GAP}+(?:{_MENU})(?:{_GAP}+{_SHORT})*{_GAP}*",
        r"(?:ホーム|トップ(?:ページ)?|top|home)\s*[>＞»›≫][^\n。]{0,80}",
        r"(?:前へ|prev|«|<)?\s*(?:\[?[0-9]{1,3}\]?[\s|]+){2,}\[?[0-9]{1,3}\]?\s*(?:\.\.\.|…)?\s*(?:次へ|next|»|>)?",
    ],
    LineKind.SHARING: [
        rf"{_GAP}*(?:{_SHARE})(?:[\s0-9()]*{_GAP}+(?:{_SHARE}))*[\s0-9()]*",
        r"この(?:記事|ページ|エントリー?|投稿)を(?:シェア|共有|ツイート|ブックマーク|sns)[^\n。]{0,40}",
        r"share (?:this|on)[^\n.]{0,60}",
    ],
    LineKind.FOOTER: [
        r"(?:copyright|\(c\)|©)[^\n]{0,120}",
        r"[^\n。]{0,120}all rights reserved\.?",
        r"powered by [^\n]{0,60}",
        r"[^\n。]{0,40}(?:無断転載|無断複製|無断使用)[^\n]{0,40}",
    ],
    LineKind.ARCHIVE: [
        r"(?:[0-9]{4}年\s?(?:[0-9]{1,2}月)?\s?[(（][0-9]+[)）][\s|｜・,、]*)+",
        rf"(?:{_LABEL})\s?[:：][^\n。]{{0,60}}",
        rf"{_COUNT}(?:[\s|｜/・]*{_COUNT})*",
    ],
    LineKind.TEASER: [
        r"[^\n]{0,200}(?:…|\.\.\.)\s*[\[(（<【]?(?:続きを読む|続きはこちら|続き|もっと(?:見る|読む)|read more|詳細)[^\n]{0,4}",
    ],
}  # fmt: skip


def removed(text: pl.Expr, kind: LineKind) -> pl.Expr:
    """The expression without the lines of one kind; the lines' breaks stay."""
    return text.str.replace_all(_whole_line(kind), "")


def counted(text: pl.Expr, kind: LineKind) -> pl.Expr:
    """How many lines of one kind each text has."""
    return text.str.count_matches(_whole_line(kind))


def _whole_line(kind: LineKind) -> str:
    return rf"(?im)^[ \t]*(?:{'|'.join(_PATTERNS[kind])})[ \t]*$"
