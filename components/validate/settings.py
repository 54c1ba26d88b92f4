"""What a corpus must be like before anything is trained on it."""

from typing import Annotated

from pydantic import Field

from kajiya.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]


class ValidateSettings(Settings):
    """Limits of the suite. Shares lie between 0 and 1. Licences and generators stand in policy.yaml."""

    min_documents: int = Field(default=1, ge=1)
    """The corpus holds at least so many documents."""
    languages: tuple[str, ...] = ("ja", "en")
    """Languages (ISO 639-1) that a document may be in."""
    min_chars: int = Field(default=0, ge=0)
    """Characters of the shortest document, without white space around it; none may be empty anyway."""
    max_chars: int = Field(default=5_000_000, ge=1)
    """Characters of the longest document: more hints at files glued together."""
    min_median_chars: int = Field(default=50, ge=1)
    """Median characters of a document: less hints at fragments in place of texts."""
    min_japanese_share: Share = 0.3
    """Hiragana, katakana and kanji among the characters (white space aside) of a `ja` document."""
    max_not_japanese_share: Share = 0.01
    """Share of the `ja` documents of a source that may lie below `min_japanese_share`."""
    max_wrong_language_share: Share = 0.02
    """Share of the documents of a source whose script is not that of their `language`; of `en`, also those
    without the small words of English."""
    max_unreadable_share: Share = 0.01
    """Share of the documents of a source that may hold control characters, U+FFFD or private-use characters."""
    max_duplicate_share: Share = 0.001
    """Share of the documents whose text, white space at its ends aside, another one has too."""
    max_personal_data_share: Share = 0.001
    """Share of the documents of a source that may hold what looks like an e-mail address; the same again for
    telephone numbers."""
    max_psi: float = Field(default=0.25, gt=0)
    """Drift of a feature against the accepted corpus, as population stability index: below 0.1 is usually
    called stable, above 0.25 another population."""
    sample_rows: int = Field(default=5, ge=1, le=20)
    """Offending documents to show for each failed expectation."""
