"""The one exception a person is meant to read: what was wrong, where, and what to do."""

import re


class KajiyaError(Exception):
    """A failure with a known cause; shown without a traceback.

    The message names the file, line or key and the remedy.
    """


def without_passwords(text: str) -> str:
    """The text with what stands before the @ of an address (`postgresql://user:password@host`) taken out."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)
