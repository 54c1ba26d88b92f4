"""extension.json: which ids a tokenizer got behind those of its base, and what the base would spell them as."""

import json
from pathlib import Path
from typing import NamedTuple

from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import EXTENSION_FILE
from kajiya.shards import write_file


class Extension(NamedTuple):
    base_pieces: int
    """Ids below this are the base's."""
    pieces: list[str]
    """The new pieces in the order of their ids."""
    made_of: list[list[int]]
    """For each the ids by which the base spells it: never none."""

    @property
    def vocabulary_size(self) -> int:
        return self.base_pieces + len(self.pieces)


def write_extension(extension: Extension, folder: Path) -> None:
    """One new piece a line, so that a person can look it up."""
    lines = [
        json.dumps({"id": extension.base_pieces + place, "piece": piece, "made_of": ids}, ensure_ascii=False)
        for place, (piece, ids) in enumerate(zip(extension.pieces, extension.made_of, strict=True))
    ]
    head = f'{{"base_pieces": {extension.base_pieces}, "vocabulary_size": {extension.vocabulary_size},\n"pieces": [\n'
    write_file(folder / EXTENSION_FILE, head + ",\n".join(lines) + "\n]}\n")


def read_extension(folder: Path) -> Extension | None:
    """The extension of a tokenizer's folder; None where it has none. Raises KajiyaError on a damaged one."""
    path = folder / EXTENSION_FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        rows = content["pieces"]
        extension = Extension(
            content["base_pieces"], [row["piece"] for row in rows], [row["made_of"] for row in rows]
        )
        numbered = [row["id"] for row in rows] == list(
            range(extension.base_pieces, extension.vocabulary_size)
        )
        known = all(ids and min(ids) >= 0 and max(ids) < extension.base_pieces for ids in extension.made_of)
    except (ValueError, KeyError, TypeError) as error:
        raise KajiyaError(f"{path}: not readable ({error!r}). Run the stage `tokenizer` again.") from None
    if not (numbered and known):
        raise KajiyaError(
            f"{path}: its ids must run on from base_pieces, and made_of name ids of the base. "
            "Run the stage `tokenizer` again."
        )
    return extension
