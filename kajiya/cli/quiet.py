"""Keep the talk of libraries from a terminal that a person reads."""

import logging


def hush_libraries() -> None:
    """Errors alone, no bars: call it before models are imported (transformers imports DeepSpeed, which talks)."""
    # A filter: the level is set anew when the library is imported.
    logging.getLogger("DeepSpeed").addFilter(_is_error)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
