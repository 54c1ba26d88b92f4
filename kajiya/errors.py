"""The one exception a person is meant to read: what was wrong, where, and what to do."""

import errno
import os
import re
from urllib.parse import quote, quote_plus


class KajiyaError(Exception):
    """A failure with a known cause; shown without a traceback.

    The message names the file, line or key and the remedy.
    """


class PassingError(KajiyaError):
    """A failure that may be over at the next try: a server or the network. All others wait for a person."""


MEND_FIRST, TRY_AGAIN = 2, 75
"""Exit statuses of a stage for the two kinds; 75 is EX_TEMPFAIL of <sysexits.h>."""


def without_passwords(text: str) -> str:
    """The text with what stands before the @ of an address (`postgresql://user:password@host`) taken out."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def without_secrets(text: str) -> str:
    """The text without passwords and keys: those of addresses, and those that the environment holds."""
    text = _SECRET_IN_QUERY.sub(r"\1=***", without_passwords(text))
    held = {value for name, value in os.environ.items() if len(value) >= 4 and _SECRET_NAME.search(name)}
    for value in sorted(held, key=len, reverse=True):  # one key may begin with another
        for written in (value, quote(value, safe=""), quote_plus(value)):
            text = text.replace(written, "***")
    return text


# Presigned addresses carry their key in the query.
_SECRET_IN_QUERY = re.compile(
    r"(?<=[?&])([^=&\s]*(?:signature|token|key|credential|secret|password|sig|policy)[^=&\s]*)=[^&#\s]*",
    re.IGNORECASE,
)
# AWS_SECRET_ACCESS_KEY, HF_TOKEN, PGPASSWORD, AZURE_STORAGE_ACCOUNT_KEY, ..., but not TOKENIZERS_PARALLELISM.
_SECRET_NAME = re.compile(
    r"(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|KEY|CREDENTIAL|CONNECTION_STRING)S?(?:_|$)", re.IGNORECASE
)

_DISK_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space and run again; finished work is kept.",
    errno.EDQUOT: "Your quota of this disk is used up: free some space and run again; finished work is kept.",
    errno.EROFS: "It is on a read-only file system: choose another place.",
    errno.EACCES: "No permission: check the owner and mode of the folder.",
}


def disk_error(error: OSError, where: object) -> KajiyaError | None:
    """What to do about a disk that refuses; None when it is another matter.

    where: the path meant when the error names none (a write to a file that is open does not).
    """
    if error.errno not in _DISK_REMEDIES:
        return None
    path = error.filename or where
    return KajiyaError(f"{path}: {os.strerror(error.errno)}. {_DISK_REMEDIES[error.errno]}")
