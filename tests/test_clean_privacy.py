"""Personal data: what is masked, and what only looks like it."""

import pytest
from clean_texts import masked

from components.clean.privacy import is_card_number, is_my_number


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
        ("〒790-0012 愛媛県松山市湊町4-5-6 湊マンション 301号室", "<address>"),
        ("住所：松山市三番町4-5-6", "住所：<address>"),
        ("北海道札幌市中央区北一条西2丁目3番地", "<address>"),
        ("〒100-0014 東京都千代田区永田町一丁目7番1号 電話03-1234-5678", "<address> 電話<phone>"),
        ("〒1000014東京都千代田区", "<address>"),
        ("4111111111111111、5555-5555-5555-4444、3782 822463 10005", "<card>、<card>、<card>"),
        ("3530 1113 3330 0000と30569309025904", "<card>と<card>"),
        ("個人番号は123456789018です", "個人番号は<mynumber>です"),
        ("1234-5678-9018", "<mynumber>"),
        ("call (415) 555-0134 or 415-555-0134", "call <phone> or <phone>"),
    ],
)
def test_personal_data_is_masked(before, after):
    assert masked(before)[0] == after


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
        "滋賀県大津市は県庁所在地で、人口は34万5千人、標高は85-90メートルです。",
        "千葉県市川市の1998-2004年の記録、東京都町田市で行われた試合は3-1で終わった",
        "大阪府の人口は1-2年で変わる。北海道札幌市北区の北大",
        "ISBN 9784003101018 0、口座4111111111111112、整理番号1234 5678 9012",
        "年表 1990 1995 2000、製造番号123456789018、+3 4 5",
        "4111-1111-1111-1111-1、a4111111111111111",
    ],
)
def test_number_that_only_looks_like_personal_data_stays(text):
    assert masked(text) == (text, {})


@pytest.mark.parametrize("wrong", range(1, 10))
def test_number_with_one_wrong_digit_fails_its_check_digit(wrong):
    for digits, holds in (("4111111111111111", is_card_number), ("123456789018", is_my_number)):
        assert holds(digits)
        last = (int(digits[-1]) + wrong) % 10
        assert not holds(digits[:-1] + str(last))


def test_personal_data_is_counted_by_kind():
    assert masked("a@example.com b@example.com 03-1234-5678\n1234 5678 9018")[1] == {
        "email": 2,
        "phone": 1,
        "mynumber": 1,
    }
