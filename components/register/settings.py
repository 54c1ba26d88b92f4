"""What a person adds to a version beyond what the pipeline knows."""

from kajiya.settings import Settings


class RegisterSettings(Settings):
    """Statements for the model card; everything else in it is measured."""

    license: str | None = None
    """Licence you release the weights under; null: the card says that none was chosen."""
    notes_ja: str | None = None
    """Paragraph for the Japanese part of the card: intended use, known faults."""
    notes_en: str | None = None
    """The same for the English part."""
