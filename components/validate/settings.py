"""What a corpus must be like before anything is trained on it."""

from typing import Annotated

from pydantic import Field

from kajiya.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]


class ValidateSettings(Settings):
    """Limits of the suite. Shares lie between 0 and 1."""

    min_documents: int = Field(default=1, ge=1)
    """The corpus holds at least so many documents."""
    languages: tuple[str, ...] = ("ja", "en")
    """Languages (ISO 639-1) that a document may be in."""
    licenses: tuple[str, ...] = (
        "CC-BY-SA-4.0",
        "CC-BY-SA-3.0",
        "CC-BY-4.0",
        "CC0-1.0",
        "ODC-By-1.0",
        "Apache-2.0",
        "MIT",
        "ndl-terms",
        "public-domain",
    )
    """Licences that you have cleared for training, as they stand in the documents."""
    generators: tuple[str, ...] = ("human",)
    """Who may have written a document: `human`, or names of models whose terms allow training."""
    min_chars: int = Field(default=0, ge=0)
    """Characters of the shortest document, without white space around it; none may be empty anyway."""
    max_chars: int = Field(default=5_000_000, ge=1)
    """Characters of the longest document: more hints at files glued together."""
    min_median_chars: int = Field(default=50, ge=1)
    """Median characters of a document: less hints at fragments in place of texts."""
    min_japanese_share: Share = 0.3
    """Hiragana, katakana and kanji among the characters (white space aside) of a `ja` document."""
    max_not_japanese_share: Share = 0.01
    """Share of the `ja` documents that may lie below `min_japanese_share`."""
    max_duplicate_share: Share = 0.001
    """Share of the documents whose text, white space at its ends aside, another one has too."""
    max_personal_data_share: Share = 0.001
    """Share of the documents that may hold what looks like an e-mail address or a telephone number."""
    sample_rows: int = Field(default=5, ge=1, le=20)
    """Offending rows to show for each failed expectation."""
