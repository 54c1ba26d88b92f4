"""Records of a form that this kajiya does not know, such as another version's: the page says so and shows the rest."""

from collections.abc import Callable, Iterable

from kajiya.errors import KajiyaError
from kajiya.report_pages.blocks import Block, Section, Text
from kajiya.report_pages.records import Records
from kajiya.report_pages.words import Words

_OTHER_FORM = (AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError)
"""What reading a record of another form ends in."""


def blocks_or_why(make: Callable[[], Iterable[Block]], what: str, words: Words) -> list[Block]:
    """The blocks made of one record, or which record could not be read. what: the record's file."""
    try:
        return list(make())
    except _OTHER_FORM as error:
        return [Text(_why(what, error, words), soft=True)]


def told_or_why(make: Callable[[], Iterable[str]], what: str, words: Words) -> list[str]:
    try:
        return list(make())
    except _OTHER_FORM as error:
        return [_why(what, error, words)]


def section_or_why(key: str, make: Callable[[], Section], records: Records, words: Words) -> Section:
    """A section, or why there is none. Raises KajiyaError on a recipe's page: there its stage can run again."""
    try:
        return make()
    except _OTHER_FORM as error:
        why = _why(records.recipe, error, words)
    except KajiyaError as error:
        if records.subject is None:
            raise
        why = words("unreadable_record", what=records.recipe, error=words.free(str(error)))
    return Section(key, words(key), [Text(why, soft=True)])


def _why(what: str, error: Exception, words: Words) -> str:
    told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return words("unreadable_record", what=what, error=words.free(told))
