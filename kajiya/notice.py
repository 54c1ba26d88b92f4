"""How long a stage has to save and end when it is told to stop: one answer for who stops it and who is stopped."""

import os

from kajiya.errors import KajiyaError

_DEFAULT_SECONDS = 110
"""What is left between a spot notice and the end of the machine (AWS: 120 seconds), with a little in hand."""


def notice_seconds() -> float:
    """KAJIYA_NOTICE_SECONDS: what the machine leaves between its notice and its end."""
    value = os.environ.get("KAJIYA_NOTICE_SECONDS", "")
    if value and not (value.isascii() and value.isdigit()):
        raise KajiyaError(f"KAJIYA_NOTICE_SECONDS={value!r} in the environment: set it to whole seconds.")
    return float(value or _DEFAULT_SECONDS)
