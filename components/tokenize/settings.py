"""What a recipe may say about its mixture."""

from typing import Annotated

from pydantic import Field

from kajiya.settings import Settings


class TokenizeSettings(Settings):
    weights: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = None
    """Share of each source in the training tokens, summing to 1; null: all there is, once."""
    tokens: int | None = Field(None, ge=1)
    """Training tokens wanted in all; null: as many as the corpus has."""
    max_epochs: float = Field(4.0, gt=0)
    """Repetitions of a source beyond which the stage refuses: up to about 4 repeated data is worth
    nearly as much as new, beyond it quickly less (Muennighoff et al. 2023, arXiv:2305.16264)."""
    validation_share: float = Field(0.005, gt=0, lt=0.5)
    """Share of the documents kept for validation, at least one of each source that has two."""
    keep_together: tuple[str, ...] = ()
    """Sources whose documents follow each other in the training tokens instead of standing scattered among all
    others, so that sequences are theirs alone: `pretrain.replay` wants it. Training shuffles sequences anyway."""
    seed: int = Field(0, ge=0)
    """Of the split, of what is repeated, and of the order of the documents."""
