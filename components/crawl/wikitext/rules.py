"""What a template rule is: from a template's values to the words it shows."""

from collections.abc import Callable

# Values of one template: positional ones under "1", "2", ... and named ones (lower case), rendered and stripped.
Values = dict[str, str]
Rule = Callable[[Values], str]


def by_name(*groups: tuple[Rule, str]) -> dict[str, Rule]:
    """One entry for each of the names, which `|` parts."""
    return {name.strip().lower(): rule for rule, names in groups for name in names.split("|")}


def positional(values: Values) -> list[str]:
    """The positional values in order, empty ones too."""
    found = []
    while (value := values.get(str(len(found) + 1))) is not None:
        found.append(value)
    return found
