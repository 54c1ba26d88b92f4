"""Settings of the sample world."""

from pydantic import Field

from kajiya.settings import Settings


class SampleSettings(Settings):
    """What decides the bytes of the sample world."""

    seed: int = 20260101
    """Everything is drawn from this number: the same seed and scale give the same files."""
    scale: float = Field(default=1.0, gt=0, le=20)
    """Size as a multiple of the default, which holds a little over 3 MB of text. Tests use 0.05."""
    wiki_date: str = Field(default="20260101", pattern=r"^\d{8}$")
    """Dump date of the Wikipedia site, YYYYMMDD."""
    c4_revision: str = Field(default="607bd4c8450a42878aa9ddc051a65a055450ef87", pattern=r"^[0-9a-f]{40}$")
    """Revision under which the C4 shards are served."""
    c4_shards: int = Field(default=4, ge=1, le=1024)
    """Number of C4 shards."""
