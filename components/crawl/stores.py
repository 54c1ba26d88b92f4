"""Bring a file to this disk from wherever its address says: HTTP, this disk, or a store of fsspec (s3://).

Access to a store comes from the environment alone (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, AWS_PROFILE, ...), and
no message repeats it.
"""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from components.crawl.download import download
from components.crawl.fetched import Expected, Fetched, Partial, Stated, verify
from components.crawl.http import Client, Patience, TryAgain, shown
from kajiya.errors import KajiyaError, without_secrets

BLOCK_BYTES = 8 * 1024 * 1024
# Errors that another try will not mend, by the name of their class: botocore is no import of ours.
_LASTING = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError")


def fetch(address: str, target: Path, expected: Expected | None = None) -> Fetched:
    """The file as `target`, continued if begun; a file of this disk is read where it lies."""
    expected = expected or Expected()
    scheme = urlsplit(address).scheme
    if scheme in ("http", "https"):
        with Client(address) as client:
            return download(client, address, target, expected)
    if scheme in ("", "file"):
        return _found(Path(unquote(urlsplit(address).path)) if scheme else Path(address), expected)
    return _copied(address, target, expected)


def list_matches(pattern: str) -> list[str]:
    """Addresses in a store that match a glob pattern such as s3://bucket/folder/*.parquet, sorted."""
    system, path = _system(pattern)
    patience = Patience(pattern)
    while True:
        try:
            system.invalidate_cache()
            return sorted(system.unstrip_protocol(name) for name in system.glob(path))
        except Exception as error:  # noqa: BLE001 - every store has its own; _trouble sorts them
            patience.spend(_trouble(pattern, error))


def _found(path: Path, expected: Expected) -> Fetched:
    if not path.is_file():
        raise KajiyaError(f"{path}: no such file. Check the address in the settings.")
    with open(path, "rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if expected.algorithm == "sha256" and digest != expected.digest:
        raise KajiyaError(f"{path}: its sha256 is {digest}, the settings state {expected.digest}.")
    return Fetched(path, digest, path.stat().st_size)


def _copied(address: str, target: Path, expected: Expected) -> Fetched:
    partial = Partial(target)
    if done := partial.whole():
        return done
    system, path = _system(address)
    patience = Patience(address)
    while True:
        furthest = partial.size()
        try:
            _copy_rest(system, path, partial)
        except Exception as error:  # noqa: BLE001 - every store has its own; _trouble sorts them
            if partial.size() > furthest:
                patience.renew()
            patience.spend(_trouble(address, error))
            continue
        found, problem = verify(partial, expected)
        if problem is None:
            return partial.publish(found)
        partial.discard()
        raise KajiyaError(f"{shown(address)}: {problem}. Check the address and the hash in the settings.")


def _copy_rest(system: Any, path: str, partial: Partial) -> None:
    version, size = _version(system, path)
    known = partial.stated()
    if known is None or known.validator != version:
        partial.begin(Stated(version, size, None))
    with open(partial.path, "ab") as handle:
        while (start := handle.tell()) < size:
            block = system.cat_file(path, start=start, end=min(start + BLOCK_BYTES, size))
            if not block:
                raise TryAgain(f"the store gave nothing from byte {start} of {size} on")
            handle.write(block)
            handle.flush()
    if _version(system, path) != (version, size) or partial.size() != size:
        partial.discard()
        raise TryAgain("the file changed while it was read: begun again")


def _version(system: Any, path: str) -> tuple[str, int]:
    """What tells one version of a file from another, and its size."""
    system.invalidate_cache()
    info = system.info(path)
    # Stores name it ETag, mtime, created, generation, ...: all that is said of the file tells versions apart.
    return " ".join(f"{name}={info[name]}" for name in sorted(info)), int(info["size"])


def _system(address: str) -> tuple[Any, str]:
    try:
        return fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:
        raise KajiyaError(f"{shown(address)}: {without_secrets(str(error))}") from None


def _trouble(address: str, error: Exception) -> TryAgain:
    """What may pass. Raises KajiyaError for what will not; neither repeats a key."""
    if isinstance(error, TryAgain):
        return error
    if isinstance(error, KajiyaError):
        raise error
    said = without_secrets(f"{type(error).__name__}: {error}")
    if isinstance(error, FileNotFoundError):
        raise KajiyaError(
            f"{shown(address)}: no such file or bucket. Check the address in the settings."
        ) from None
    if isinstance(error, PermissionError) or type(error).__name__ in _LASTING:
        raise KajiyaError(
            f"{shown(address)}: no access ({said}). Set the store's keys in the environment (for S3 AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY or AWS_PROFILE, and AWS_ENDPOINT_URL for another store than Amazon's)."
        ) from None
    if isinstance(error, TypeError | AttributeError | KeyError | NotImplementedError):
        raise error  # a defect, ours or the library's
    return TryAgain(said)
