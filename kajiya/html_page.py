"""Pages for a person: one HTML file each, in one style, that opens offline and prints well."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def render(template: str, *, package: str = "kajiya", **values: Any) -> str:
    """A page from a template of `package`; every value is escaped, a missing one is an error."""
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
    )
    environment.filters["number"] = number
    environment.globals["percent"] = percent
    return environment.get_template(template).render(**values)


def number(value: float | None, digits: int = 4) -> str:
    """1234567 -> 1,234,567; 0.123456 -> 0.1235; nothing -> a dash."""
    if value is None:
        return "–"
    if isinstance(value, int) or (abs(value) >= 1e5 and value == int(value)):
        return f"{int(value):,}"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def percent(part: int, whole: int) -> str:
    """`12.3 %`, `0.96 %`, `<0.01 %`; a dash where there is nothing to take a share of."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.01:
        return "<0.01 %"
    return f"{share:.2f} %" if 0 < share < 10 else f"{share:.1f} %"
