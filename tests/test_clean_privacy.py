"""Personal data: what is masked, and what only looks like it."""

import pytest
from clean_texts import masked


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
    ],
)
def test_number_that_is_no_telephone_number_stays(text):
    assert masked(text) == (text, {})
