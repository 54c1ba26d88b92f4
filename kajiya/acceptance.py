"""Take the corpus that was validated last as the one the next is compared with."""

import json
from pathlib import Path
from typing import Any

from kajiya.errors import KajiyaError
from kajiya.shards import write_file


def accept_corpus(validated: Path, accepted: Path, drifted: bool) -> str:
    """Copy the profile of the corpus to `accepted/profile.json`; returns what it says, in a line.

    drifted: take it from the pages of a run that failed by its drift alone, and by nothing else.
    """
    source = validated / "profile.json"
    if drifted:
        pages = validated.with_name(f"{validated.name}.pages")
        source = pages / "profile.json"
        failed = _read(pages / "failed.json")
        if failed != ["drift"]:
            why = f"fails {', '.join(failed)}" if failed else "has no drift beyond its bound"
            raise KajiyaError(
                f"{pages}: the corpus validated last {why}. --drifted takes one that fails its drift alone."
            )
    profile = _read(source)
    write_file(accepted / "profile.json", source.read_bytes())
    return f"{profile['documents']} documents, {profile['characters']} characters of {len(profile['sources'])} sources"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KajiyaError(
            f"{path}: no such file. Validate a corpus first: `kajiya run --until validate`."
        ) from None
