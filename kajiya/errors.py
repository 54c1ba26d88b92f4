"""The one exception a person is meant to read: what was wrong, where, and what to do."""


class KajiyaError(Exception):
    """A failure with a known cause; shown without a traceback.

    The message names the file, line or key and the remedy.
    """
