"""The rules of the clean stage: what they measure, and what each named set says of a text."""

import pytest
from clean_texts import OTHER_PROSE, PROSE, batch

from components.clean.rules import judged
from components.clean.rules.script import JapaneseShare
from components.clean.rules.sentences import OpenEnd
from components.clean.rulesets import RULE_SETS


def reason(rules: str, text: str) -> str | None:
    """The first rule of a set that a text fails."""
    documents = RULE_SETS[rules].documents
    (failed,) = judged(documents, batch(text)).failed
    return documents[failed].name if failed >= 0 else None


@pytest.mark.parametrize(
    ("rules", "text", "expected"),
    [
        ("web-ja", PROSE, None),
        ("web-ja", "短い文です。", "length"),
        ("web-ja", PROSE.encode().decode("cp932", "replace"), "mojibake"),
        ("web-ja", PROSE.encode().decode("latin-1"), "mojibake"),
        ("web-ja", PROSE.encode("euc-jp").decode("cp932", "replace"), "mojibake"),
        ("web-ja", "The lake is the largest one in the country. " * 4, "japanese_share"),
        ("web-ja", "東京都大阪府京都府北海道愛知県福岡県神奈川県埼玉県千葉県" * 4, "hiragana_share"),
        ("web-ja", PROSE + "無修正の素人動画と人妻のハメ撮りが見放題です。", "adult_words"),
        ("web-ja", PROSE + "激安通販、送料無料、今すぐクリック、クーポンあり。", "advertising_words"),
        ("web-ja", (PROSE + "\n") * 3, "duplicate_lines"),
        ("web-ja", PROSE + "とてもよい湖ですよ、" * 40 + "。", "duplicate_ngrams_5"),
        ("web-ja", "\n".join(f"{line}…" for line in (PROSE + OTHER_PROSE).split("。")), "broken_off"),
        ("web-ja", "無修正という語の歴史を論じた、辞典のような説明の文章です。" + PROSE, None),
        ("encyclopedic-ja", "出羽国は、かつて日本にあった地方行政区分の一つである。", None),
        (
            "literature-ja",
            "デンデンムシノ カナシミハ ミンナガ モツテ ヰル カナシミデス。" * 3 + PROSE * 1,
            None,
        ),
        ("web-en", "LOSE WEIGHT FAST! BUY NOW! CLICK HERE! FREE MONEY! HOT DEAL! " * 3, "advertising_words"),
        ("web-en", PROSE + OTHER_PROSE, "latin_share"),
    ],
)
def test_document_is_judged_by_the_first_rule_it_fails(rules, text, expected):
    assert reason(rules, text) == expected


@pytest.mark.parametrize(
    ("text", "passes"),
    [(PROSE, True), (f"「{PROSE}」", True), (PROSE + "そして", False), (PROSE + "\n完\n", False)],
)
def test_open_end_of_a_text_is_found(text, passes):
    assert (OpenEnd().measure(batch(text)) == 0).tolist() == [passes]


def test_rule_measures_a_text_alike_alone_and_between_others():
    texts = [PROSE, "", "あ" * 50, OTHER_PROSE * 3, "𠮷野家\n𠮷野家\n"]
    together = batch(*texts)
    for n in (5, 10):
        alone = [batch(text).duplicate_ngram_share(n)[0] for text in texts]
        assert together.duplicate_ngram_share(n).tolist() == alone
    assert together.duplicate_line_share.tolist() == [0, 0, 0, 0, 0.5]
    assert together.duplicate_ngram_share(5)[2] == 45 / 46


@pytest.mark.parametrize("text", ["한국어로 쓴 글입니다", "\ue000\ue001", "゠"])
def test_japanese_share_of_what_is_no_japanese_script_is_zero(text):
    assert JapaneseShare().measure(batch(text)).tolist() == [0]
