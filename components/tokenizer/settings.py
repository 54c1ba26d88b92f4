"""What a recipe may say about its tokenizer."""

from typing import Literal

from pydantic import Field

from kajiya.settings import Settings


class TokenizerSettings(Settings):
    kind: Literal["train", "take"] = "train"
    """train: a new one from the corpus. take: the base model's own, unchanged."""
    vocabulary_size: int = Field(50_000, ge=400)
    """Pieces in all, with the 256 bytes and the special tokens."""
    sample_characters: int = Field(300_000_000, ge=1000)
    """Characters of the sentences it is trained on; training takes about 50 bytes of memory for each."""
    weights: dict[str, float] | None = None
    """Share of each source in the sample; null: as in the corpus. A small source gives all it has."""
    character_coverage: float = Field(0.9995, ge=0.98, le=1.0)
    """Share of the sample's characters that get a piece of their own; the rest is spelt in bytes."""
    max_piece_characters: int = Field(16, ge=1, le=64)
    """Longest piece, in characters."""
    check_strings: int = Field(10_000, ge=100)
    """Strings of the corpus on which both forms must encode alike."""
    seed: int = Field(0, ge=0)
    """Of the choice of sentences and strings."""
