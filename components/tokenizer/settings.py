"""What a recipe may say about its tokenizer."""

from typing import Literal

from pydantic import Field

from kajiya.settings import Settings


class TokenizerSettings(Settings):
    kind: Literal["train", "take", "extend"] = "train"
    """train: a new one from the corpus. take: the base model's own, unchanged; one that has only tokenizer.model is
    converted. extend: the base model's own with Japanese pieces behind it, up to `vocabulary_size`."""
    algorithm: Literal["unigram", "bpe"] = "unigram"
    """SentencePiece model of a new one; an extended one keeps the base's. unigram takes the most probable pieces
    (Kudo 2018) and is encoded several times as fast; bpe merges pairs, the most frequent first, as Llama's does,
    and is trained several times as fast."""
    vocabulary_size: int = Field(50_000, ge=400)
    """Pieces in all, with the 256 bytes and the special tokens; extend: with those of the base."""
    sample_characters: int = Field(300_000_000, ge=1000)
    """Characters of the sentences it is trained on, drawn at random: memory and time depend on them, not on
    the corpus; docs/tokenizer.md has figures."""
    weights: dict[str, float] | None = None
    """Share of each source in the sample; null: as in the corpus. A small source gives all it has."""
    character_coverage: float = Field(0.9995, ge=0.98, le=1.0)
    """Share of the sample's characters that get a piece of their own; the rest is spelt in bytes, so no text
    is unencodable or comes back changed."""
    max_piece_characters: int = Field(16, ge=1, le=64)
    """Longest learnt piece, in characters."""
    split_digits: bool = True
    """Each digit stands alone, so that a number looks alike wherever it stands (as in Llama); false: frequent
    numbers become pieces. Read by train."""
    longest_indentation: int = Field(16, ge=0, le=64)
    """Runs of 2 to this many spaces, and of 1 to a quarter as many tabs, are sure to be one piece each: code and
    tables. 0: only what the sample teaches, tabs as bytes. Read by train. A newline is always a piece of its own."""
    space_before_text: bool = False
    """Put a space before every text (SentencePiece's add_dummy_prefix, as in Llama 2), so that a word is the same piece at
    its beginning as within. Japanese begins without one, and a reply continues where its prompt ended. Read by train."""
    role_tokens: bool = False
    """extend: add <|system|>, <|user|> and <|assistant|> too, for a base that has none. Without them a chat is
    written with headings in plain text. A new tokenizer always has them."""
    check_strings: int = Field(10_000, ge=100)
    """Strings of the corpus on which both forms must encode alike."""
    seed: int = Field(0, ge=0)
    """Of the choice of sentences and strings."""
