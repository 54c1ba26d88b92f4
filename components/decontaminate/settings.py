"""What counts as an overlap, and what becomes of a document that has one."""

from typing import Annotated, Literal

from pydantic import Field

from kajiya.overlap import OverlapSettings


class DecontaminateSettings(OverlapSettings):
    """Settings of `decontaminate`."""

    action: Literal["drop", "cut"] = "drop"
    """drop: the whole document goes. cut: only the sentences that cover an item go, and what they were is
    kept in `cuts/`."""
    min_left_chars: Annotated[int, Field(ge=1)] = 200
    """With `cut`: a document of which fewer characters are left is dropped."""
