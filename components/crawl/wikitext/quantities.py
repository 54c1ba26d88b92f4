"""Templates of numbers, units and amounts, written as the wikis of a language show them."""

import re

from components.crawl.wikitext.rules import Rule, Values, by_name, positional

_JOINTS = {
    "to": "-", "-": "-", "–": "–", "and": " and ", "or": " or ", "by": " by ", "x": " × ", "×": " × ",
    "to(-)": "-", "+/-": " ± ", "±": " ± ", "から": "から", "-から-": "から",
}  # fmt: skip
_DIGITS = re.compile(r"(?<![\d.])\d{4,}(?!\d)")


def _convert(values: Values) -> str:
    """convert|5|to|6|km|mi: numbers and joining words up to the first unit."""
    parts = []
    for value in positional(values)[:10]:
        if value.lstrip("-−+.±")[:1].isdigit():
            parts.append(value)
        elif value in _JOINTS:
            parts.append(_JOINTS[value])
        else:
            return f"{''.join(parts)} {value}".strip()
    return "".join(parts)


def _fraction(values: Values) -> str:
    numbers = [number for number in positional(values)[:3] if number]
    if len(numbers) == 1:
        return f"1/{numbers[0]}"
    return f"{' '.join(numbers[:-2])} {'/'.join(numbers[-2:])}".strip()


def _number(values: Values) -> str:
    """val|1.5|0.1|e=5|u=km: number, uncertainty, exponent and unit."""
    text, *uncertainty = positional(values)[:2] or [""]
    if uncertainty and uncertainty[0]:
        text += uncertainty[0] if uncertainty[0].startswith("(") else f"±{uncertainty[0]}"
    if exponent := values.get("e"):
        text = f"{text}×10^{exponent}" if text else f"10^{exponent}"
    unit = values.get("u") or values.get("ul") or ""
    below = values.get("up") or values.get("upl") or ""
    unit = f"{unit}/{below}" if below else unit
    return f"{values.get('p', '')}{text} {unit}{values.get('s', '')}".strip()


def _grouped(values: Values) -> str:
    """formatnum:1234567 shows 1,234,567; with |R the marks go."""
    number = values.get("1", "")
    if values.get("2", "").strip().upper() == "R":
        return number.replace(",", "")
    return _DIGITS.sub(lambda found: f"{int(found[0]):,}" if len(found[0]) < 30 else found[0], number)


def _digit_groups(values: Values) -> str:
    return "".join(positional(values))


def _power(values: Values) -> str:
    return f"10^{values.get('1', '')}"


def _times_power(values: Values) -> str:
    return f"×10^{values.get('1', '')}"


def _formula(values: Values) -> str:
    """chem|H|2|O: a row of elements and counts."""
    return "".join(positional(values))


def _height(values: Values) -> str:
    """height|ft=5|in=11, height|m=1.8"""
    return " ".join(f"{values[unit]} {unit}" for unit in ("m", "cm", "ft", "in") if values.get(unit))


def _amount(form: str) -> Rule:
    return lambda values: form.format(values["1"]) if values.get("1") else ""


_COMMON = by_name(
    (_convert, "convert|cvt|conv|換算"),
    (_fraction, "frac|fraction|sfrac|分数|1/n|frac2"),
    (_number, "val|num|nts|val2"),
    (_grouped, "formatnum|formatnum:|formatprice|number format|num format"),
    (_digit_groups, "gaps"),
    (_power, "10^|10exp"),
    (_times_power, "e|esp"),
    (_formula, "chem|chem2|化学式|ce"),
    (_height, "height|weight"),
    (_amount("€{}"), "eur|€|euro|ユーロ"),
    (_amount("£{}"), "gbp|£|pound sterling"),
    (_amount("₹{}"), "inr|indian rupee|indian rupees"),
)
QUANTITY_RULES: dict[str, dict[str, Rule]] = {
    "ja": _COMMON
    | by_name(
        (_amount("{}円"), "jpy|円|yen|¥"),
        (_amount("{}ドル"), "usd|us$|$|ドル|usドル|米ドル"),
        (_amount("{}元"), "cny|rmb|人民元"),
        (_amount("{}ウォン"), "krw|ウォン"),
    ),
    "en": _COMMON
    | by_name(
        (_amount("¥{}"), "jpy|yen|¥"),
        (_amount("US${}"), "usd|us$|us dollar|us dollars"),
        (_amount("${}"), "$"),
        (_amount("CN¥{}"), "cny|rmb"),
        (_amount("₩{}"), "krw"),
        (_amount("A${}"), "aud|a$"),
        (_amount("C${}"), "cad|c$"),
    ),
}
