"""Whether a model was asked the items that published scores were taken on: the whole sets of JGLUE 1.x and the others."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kajiya.suites import PUBLISHED_SHOTS, SUITES

_JGLUE = SUITES["4"]
_PUBLISHED_JGLUE = re.compile(r"v?1\.")


def other_items(results: Mapping[str, Any]) -> str:
    """Data versions and numbers of items of the tasks that were asked otherwise (`v0.1, 60–300`), or nothing.

    results: of results.json. A version that it does not state is taken for the published one.
    """
    found = list(_other(results))
    versions = sorted({version for version, _ in found if version})
    counts = sorted({count for _, count in found if count})
    numbers = "–".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1]))) if counts else ""
    return ", ".join(filter(None, (*versions, numbers)))


def _other(results: Mapping[str, Any]) -> Iterator[tuple[str | None, int | None]]:
    """Version and number of items asked, of each task at the published shots that has others."""
    for task, shots in PUBLISHED_SHOTS.items():
        measures = results.get("tasks", {}).get(task, {}).get(str(shots))
        if not measures:
            continue
        data = (results.get("data_versions") or {}).get(task)
        version, whole = (data.get("version"), data.get("items")) if isinstance(data, dict) else (data, None)
        asked = measures.get("n")
        other = task in _JGLUE and version is not None and not _PUBLISHED_JGLUE.match(str(version))
        if other or (asked is not None and whole is not None and asked < whole):
            yield version, asked
