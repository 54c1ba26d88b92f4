"""Templates of dates, written as the wikis of a language show them."""

import re

from components.crawl.wikitext.rules import Rule, Values, by_name, positional

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
# First day of each era; before Meiji the old calendar ruled, and the template gives no date.
_ERAS = (
    ((2019, 5, 1), "令和"), ((1989, 1, 8), "平成"), ((1926, 12, 25), "昭和"), ((1912, 7, 30), "大正"), ((1868, 10, 23), "明治"),
)  # fmt: skip
_YEAR_MONTH_DAY = re.compile(r"(\d{4})年?(?:(\d{1,2})月)?(?:(\d{1,2})日)?")


def _japanese(year: str, month: str = "", day: str = "") -> str:
    text = f"{year}年"
    if month.isdigit():
        text += f"{int(month)}月"
        if day.isdigit():
            text += f"{int(day)}日"
    return text


def _english(year: str, month: str = "", day: str = "", day_first: bool = False) -> str:
    if month.isdigit() and 1 <= int(month) <= 12:
        month = _MONTHS[int(month) - 1]
    if not month:
        return year
    if not day.isdigit():
        return f"{month} {year}"
    return f"{int(day)} {month} {year}" if day_first else f"{month} {int(day)}, {year}"


def _date(values: Values, numbers: list[str], japanese: bool) -> str:
    numbers = numbers[:3]
    while numbers and not numbers[-1]:
        numbers.pop()
    if not numbers:
        return ""
    if not numbers[0].isdigit():  # written out: {{birth-date|2 May 1903}}
        return numbers[0]
    if japanese:
        return _japanese(*numbers)
    return _english(*numbers, day_first=values.get("df", "") in ("y", "yes", "true"))


def _first_date(japanese: bool) -> Rule:
    """{{生年月日と年齢|1950|1|2}}: the age changes from day to day, so only the date stays."""
    return lambda values: _date(values, positional(values), japanese)


def _death(values: Values) -> str:
    """{{死亡年月日と没年齢|1900|1|2|1950|3|4}}: birth, then death; the day of death with the age."""
    numbers = positional(values)[:6]
    if len(numbers) < 6 or not all(number.isdigit() for number in numbers):
        return _date(values, numbers[3:] or numbers, japanese=True)
    born, died = [int(number) for number in numbers[:3]], [int(number) for number in numbers[3:]]
    age = died[0] - born[0] - (died[1:] < born[1:])
    return f"{_japanese(*numbers[3:])}（{age}歳没）"


def _wareki(values: Values) -> str:
    """{{和暦|1989|1|7}} is 昭和64年, one day later 平成元年."""
    if found := _YEAR_MONTH_DAY.fullmatch(values.get("1", "")):
        year, month, day = (found[1], found[2] or values.get("2", ""), found[3] or values.get("3", ""))
    else:
        return values.get("1", "")
    date = (int(year), int(month) if month.isdigit() else 12, int(day) if day.isdigit() else 31)
    for first, era in _ERAS:
        if date >= first:
            number = date[0] - first[0] + 1
            tail = "".join(f"{int(x)}{unit}" for x, unit in ((month, "月"), (day, "日")) if x.isdigit())
            return f"{era}{'元' if number == 1 else number}年{tail}"
    return f"{year}年"


def _japanese_and_western(values: Values) -> str:
    """{{和暦年|2019}}, {{西暦和暦|2019|5|1}}: both ways of counting."""
    numbers = positional(values)[:3]
    if not numbers or not numbers[0].isdigit():
        return "".join(numbers)
    era = _wareki({"1": numbers[0]})
    return f"{_japanese(*numbers)}（{era}）" if era != f"{numbers[0]}年" else _japanese(*numbers)


def _as_of(values: Values) -> str:
    date = " ".join(values[place] for place in "321" if values.get(place))
    return values.get("alt") or f"{'as of' if values.get('lc') else 'As of'} {date}"


def _as_of_japanese(values: Values) -> str:
    date = _date(values, positional(values), japanese=True)
    return values.get("alt") or (f"{date}現在" if date else "")


def _old_style(values: Values) -> str:
    """OldStyleDate|12 May|1903|29 April"""
    return " ".join(part for part in positional(values)[:2] if part)


_DATES = (
    "生年月日と年齢|生年月日|生年月日と年齢2|birth date|birth date and age|bda|dob|birth-date|birth-date and age|"
    "start date|start date and age|end date|death date|death-date|film date|映画公開日|公開日|release date|"
    "開始日|終了日|開始年月日|完成年月日|設立年月日と経過年数|start-date|end-date|dts|date|birth year and age|launch date"
)
DATE_RULES: dict[str, dict[str, Rule]] = {
    "ja": by_name(
        (_first_date(japanese=True), _DATES),
        (_death, "死亡年月日と没年齢|没年月日と没年齢|死亡年月日と年齢|death date and age"),
        (_wareki, "和暦|wareki|元号年"),
        (_japanese_and_western, "和暦年|西暦和暦|西暦年"),
        (_as_of_japanese, "as of|asof|現在|年現在"),
    ),
    "en": by_name(
        (_first_date(japanese=False), f"{_DATES}|death date and age|death-date and age"),
        (_as_of, "as of|asof|as of?"),
        (_old_style, "oldstyledate|oldstyledatedy|oldstyledatenf"),
    ),
}
