"""What a recipe may say about instruction tuning."""

from kajiya.lm.tuning.settings import TuningSettings


class SftSettings(TuningSettings):
    packing: bool = True
    """Put the conversations of one optimizer step into as few rows of max_tokens as they fill, each blind to the
    others: less padding is computed, and what is learned is the same but for rounding."""
