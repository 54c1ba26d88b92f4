"""Rules of the clean stage: what it spells anew, takes out, masks and rejects, and why."""

from pathlib import Path

import polars as pl
import pytest
from corpus_folders import kept, output_bytes, rejected, write_source
from hypothesis import given, settings
from hypothesis import strategies as st

from components.clean import CleanSettings, run
from components.clean.lines import LineKind, counted, removed
from components.clean.measures import Batch
from components.clean.normalize import normalized
from components.clean.privacy import mask
from components.clean.rules import OpenEnd, first_failures
from components.clean.rulesets import RULE_SETS
from kajiya.errors import KajiyaError
from kajiya.settings import load_settings
from kajiya.stage import execute

PROSE = (
    "琵琶湖は滋賀県にある日本でいちばん大きな湖です。古くから人々の暮らしと水運を支えてきました。"
    "湖の面積は県の六分の一ほどで、四百あまりの川が流れ込みます。夏には水遊びをする家族でにぎわい、冬には渡り鳥が羽を休めます。"
)
OTHER_PROSE = (
    "松山の町には路面電車が走っています。坂の上には城があり、晴れた日には瀬戸内海の島々まで見渡せます。"
    "温泉に入ったあとは、みかんの味のする氷菓子を食べながら商店街をゆっくり歩くのが楽しみです。夜は早く休みます。"
)
EXCLUSIONS = Path(__file__).parents[1] / "exclusions.yaml"


def spelled(text: str) -> str:
    return pl.DataFrame({"text": [text]}).select(normalized(pl.col("text")))["text"][0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ＡＢＣ１２３％", "ABC123%"),
        ("ｶﾞｷﾞﾎﾟｰﾙ", "ガギポール"),
        ("か\u3099き", "がき"),
        ("10～20度、１〜２枚", "10〜20度、1〜2枚"),
        ("コーヒーとすごーーい", "コーヒーとすごーーい"),
        ("本当！？（笑）：はい", "本当！？（笑）：はい"),
        ("3．14と1，000，000円、１．２．３", "3.14と1,000,000円、1.2.3"),
        ("法律，政治．", "法律，政治．"),
        ("面積は10㎡、…と10⁵", "面積は10㎡、…と10⁵"),
        ("見え\u200bない\ufeff字\x07", "見えない字"),
        ("行\r\n行\r行\u2028行", "行\n行\n行\n行"),
        ("　段落の\u3000\u3000字下げ  \n\n\n\n次", "段落の 字下げ\n\n次"),
        ("def f():\n    return 1", "def f():\n    return 1"),
    ],
)
def test_normalisation_of_a_spelling_gives_one_form(before, after):
    assert spelled(before) == after


AWKWARD = "ｶﾞﾊﾟ゙゚\u3099\u0344か　 \t\r\n\x0b\x85\u200b１２．，～〜ーｰ！\ufe0f\u2000"


@settings(max_examples=150, deadline=None)
@given(st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(AWKWARD))))
def test_normalisation_applied_twice_changes_nothing_more(text):
    assert spelled(spelled(text)) == spelled(text)


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
    ],
)
def test_boilerplate_line_of_a_kind_is_removed_and_counted(line, kind):
    frame = pl.DataFrame({"text": [f"{PROSE}\n{line}\n{OTHER_PROSE}"]})
    assert frame.select(counted(pl.col("text"), kind)).item() == 1
    assert line not in frame.select(removed(pl.col("text"), kind)).item()


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
    ],
)
def test_sentence_with_a_menu_word_stays(line):
    frame = pl.DataFrame({"text": [line]})
    for kind in LineKind:
        frame = frame.select(removed(pl.col("text"), kind))
    assert frame.item() == line


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("連絡は taro.yamada+x@mail.example.co.jp まで", "連絡は <email> まで"),
        ("info★example.com、info[at]example.com", "<email>、<email>"),
        ("電話03-1234-5678、携帯090-1234-5678。", "電話<phone>、携帯<phone>。"),
        ("TEL:0899123456", "TEL:<phone>"),
        ("(089)912-3456 と 0120-123-456", "<phone> と <phone>"),
        ("09012345678に", "<phone>に"),
        ("国際電話は+81-3-1234-5678", "国際電話は<phone>"),
        ("call (415) 555-0134 or 415-555-0134", "call <phone> or <phone>"),
    ],
)
def test_personal_data_is_masked(before, after):
    assert mask(pl.Series([before])).texts.to_list() == [after]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15に、2024/01/15 10:30:00に",
        "〒790-0012 松山市",
        "ISBN 978-4-00-310101-8、ISBN4-00-310101-4、ISBN 0-306-40615-2",
        "価格は10,000円、1990-2000年、1914-1918",
        "円周率は3.14159265358979、口座は1234567",
        "型番AB-0123-4567、版 1.2.3-4567",
        "a@bという記法、@decorator、twitterの@taro",
        "人口は0.123-0.456、比は12-3456-7890",
    ],
)
def test_number_that_is_no_telephone_number_stays(text):
    masked = mask(pl.Series([text]))
    assert (masked.texts.to_list(), masked.emails, masked.phones) == ([text], 0, 0)


def reason(rules: str, text: str) -> str | None:
    """The first rule of a set that a text fails."""
    documents = RULE_SETS[rules].documents
    failed, _ = first_failures(documents, Batch([text], [spelled(text)]))
    return documents[failed[0]].rule if failed[0] >= 0 else None


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
        ("web-ja", PROSE + "とてもよい湖ですよ、" * 40 + "。", "duplicate_ngrams"),
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
    assert OpenEnd().judge(Batch([text], [text])).passes.tolist() == [passes]


def test_rule_measures_a_text_alike_alone_and_between_others():
    texts = [PROSE, "", "あ" * 50, OTHER_PROSE * 3, "𠮷野家\n𠮷野家\n"]
    together = Batch(texts, texts)
    for n in (5, 10):
        alone = [Batch([text], [text]).duplicate_ngram_share(n)[0] for text in texts]
        assert together.duplicate_ngram_share(n).tolist() == alone
    assert together.duplicate_line_share.tolist() == [0, 0, 0, 0, 0.5]
    assert together.duplicate_ngram_share(5)[2] == 45 / 46


def test_clean_keeps_every_document_in_out_or_rejected(tmp_path: Path):
    texts = {
        "a": "　連絡：a@example.com\r\n" + PROSE,
        "b": "短い。",
        "c": "トップページ\nホーム",
        "d": OTHER_PROSE,
    }
    source = write_source(tmp_path / "crawl" / "web", texts)
    out = tmp_path / "clean" / "web"
    report = execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], out)
    assert kept(out) == {"web:a": "連絡：<email>\n" + PROSE, "web:d": OTHER_PROSE}
    assert rejected(out)["web:b"] == ("length", "3")
    assert rejected(out)["web:c"] == ("length", "0")
    flow = report.flows["web"]
    assert (flow.came_in, flow.out + flow.rejected.total()) == (4, 4)
    assert report.figures["masked"] == {"email": 1, "phone": 0}
    assert report.figures["lines"]["navigation"] == 2


def test_clean_with_more_workers_writes_the_same_bytes(tmp_path: Path, monkeypatch):
    texts = {str(i): f"{i}番目の文書です。{PROSE if i % 3 else '短い。'}" for i in range(30)}
    source = write_source(tmp_path / "crawl" / "web", texts, shard_bytes=1500)
    outputs = []
    for workers in ("1", "2"):
        monkeypatch.setenv("KAJIYA_WORKERS", workers)
        out = tmp_path / workers / "web"
        execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], out)
        outputs.append(output_bytes(out))
    assert len(outputs[0]) > 4
    assert outputs[0] == outputs[1]


def test_clean_of_an_empty_source_says_which(tmp_path: Path):
    source = write_source(tmp_path / "crawl" / "web", {})
    with pytest.raises(KajiyaError, match="crawl/web: holds no documents"):
        execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], tmp_path / "clean" / "web")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{rules: web-jp}", "clean.web.rules: no rule set of this name, known are: web-ja"),
        ("{rules: {documents: [{rule: length, min_char: 3}]}}", "min_char: unknown setting"),
        ("{}", "clean.web.rules: must be given"),
    ],
)
def test_clean_with_a_wrong_setting_names_file_line_and_key(tmp_path: Path, section, message):
    params = tmp_path / "params.yaml"
    params.write_text(f"clean:\n  web: {section}\n", encoding="utf-8")
    with pytest.raises(KajiyaError) as error:
        load_settings(CleanSettings, params, ["clean", "web"])
    assert message in str(error.value)
    assert "params.yaml:2" in str(error.value)


def test_clean_with_an_own_rule_list_uses_that_alone(tmp_path: Path):
    params = tmp_path / "params.yaml"
    params.write_text("clean: {web: {rules: {documents: [{rule: length, min_chars: 3}]}}}", encoding="utf-8")
    config = load_settings(CleanSettings, params, ["clean", "web"])
    source = write_source(tmp_path / "crawl" / "web", {"a": "abc", "b": "ab"})
    execute(run, config, [source, EXCLUSIONS], tmp_path / "out")
    assert (list(kept(tmp_path / "out")), rejected(tmp_path / "out")) == (
        ["web:a"],
        {"web:b": ("length", "2")},
    )
