"""One record of an own file as a document, or as a reject with its reason.

What is wrong with the first record of a file is wrong with the mapping, and an error; what is wrong with a later one
is that record's own fault, and rejects it alone.
"""

import math
import re
from typing import Any

from components.crawl.harvest import document, read_date
from components.crawl.settings import LANGUAGE, FilesSettings
from kajiya.errors import KajiyaError

PROVENANCE = ("license", "generator", "language")
# What every record of a web archive has: to trace a page and to take it down needs its address.
_ARCHIVE_COLUMNS = {"url": "url", "date": "date"}


class RecordReader:
    """Reads the records of one file, in order."""

    def __init__(self, config: FilesSettings, name: str, is_archive: bool = False) -> None:
        self.config, self.name = config, name
        stated = config.columns.model_dump(exclude_none=True)
        self.columns = (_ARCHIVE_COLUMNS if is_archive else {}) | stated
        self._first = True

    def document(self, number: int, record: dict[str, Any] | None) -> tuple[dict[str, Any], str | None, str]:
        """The document of a record (None for a blank line), why it is rejected, or None, and the detail."""
        if record is None:
            record = {self.config.columns.text: ""}
        else:
            self._check_mapping(number, record)
        found: dict[str, Any] = {}
        reason, detail = None, ""
        for field, column in self.columns.items():
            found[field], wrong = _value(record.get(column), field)
            if wrong and reason is None:
                reason, detail = f"bad_{field}", wrong
        text = found.pop("text")
        found |= {field: found.get(field) or getattr(self.config, field) or "" for field in PROVENANCE}
        unstated = next((field for field in PROVENANCE if not found[field]), None)
        if reason is None and text is None:
            reason = "no_text"
        if reason is None and unstated and text.strip():
            reason = f"no_{unstated}"
        return document(f"{self.name}:{number}", text or "", **found), reason, detail

    def _check_mapping(self, number: int, record: dict[str, Any]) -> None:
        """Raise KajiyaError where the first record does not fit the columns."""
        first, self._first = self._first, False
        if not first:
            return
        where = f"{self.name}: record {number + 1}"  # ids count from 0, people and editors from 1
        text = self.config.columns.text
        if text not in record:
            raise KajiyaError(
                f"{where}: no `{text}` in this record. It has {', '.join(record) or 'nothing'}: "
                "say in `columns: {text: ...}` which key holds the text."
            )
        for field, column in self.columns.items():
            _, wrong = _value(record.get(column), field)
            if wrong and field not in ("date", "language"):  # of those the reject tells as much
                kind = type(record[column]).__name__
                raise KajiyaError(f"{where}: `{column}` is {kind}, not text.")


def _value(value: Any, field: str) -> tuple[Any, str]:
    """A field's value, and what is wrong with it, or "". NaN is how pandas writes that there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None, ""
    if field == "date":
        return read_date(value)
    if field != "text" and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # a title that is a year
    if not isinstance(value, str):
        return None, f"{type(value).__name__}, not text"
    if field == "language" and value and not re.fullmatch(LANGUAGE, value):
        return value, value
    return value, ""
