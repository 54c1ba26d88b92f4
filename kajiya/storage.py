"""Folders on this disk or on S3: paths, errors, and publishing where nothing can be renamed.

A path is a pathlib.Path, or for `s3://bucket/key` a UPath, which reads alike. Credentials and the
endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, ...)
or an instance's role, never from a path.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kajiya.errors import KajiyaError, without_secrets


def parse_path(word: str) -> Path:
    """The path a person wrote. Raises KajiyaError for a storage other than a disk or S3."""
    scheme, separator, _ = word.partition("://")
    if not separator:
        return Path(word)
    if scheme != "s3":
        raise KajiyaError(
            f"{word}: {scheme}:// is no known storage. Give a path on this disk, or s3://BUCKET/KEY."
        )
    from upath import UPath  # noqa: PLC0415 - half a second that most runs need not spend

    # Workers write what this process lists: a listing remembered from before would miss it.
    path: Any = UPath(word.rstrip("/"), use_listings_cache=False)
    return path


def is_remote(path: Path) -> bool:
    return not isinstance(path, Path)


def is_below_hidden(relative: str) -> bool:
    """Whether a part of the path begins with a dot: work in progress, which is nobody's input.

    `.` alone, as list_files names an input that is a file, is that input itself.
    """
    return relative != "." and any(part.startswith(".") for part in relative.split("/"))


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """What S3 answers to a wrong key, a missing bucket or a dead endpoint, as a KajiyaError for a person."""
    if not is_remote(path):
        yield
        return
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - seconds

    try:
        yield
    except PermissionError as error:
        raise KajiyaError(
            f"{path}: S3 refuses access ({_said(error)}). Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
            "AWS_ENDPOINT_URL in the environment, and what that key may read and write."
        ) from None
    except FileNotFoundError as error:
        raise KajiyaError(f"{path}: not there ({_said(error)}). Check bucket and key.") from None
    except (BotoCoreError, ClientError, OSError) as error:
        raise KajiyaError(
            f"{path}: S3 cannot be reached ({_said(error)}). Check AWS_ENDPOINT_URL, the credentials in the "
            "environment and the network, and run again."
        ) from None


def _said(error: Exception) -> str:
    return without_secrets(" ".join(str(error).split()))


def list_files(folder: Path) -> dict[str, str]:
    """Every file below a folder by its relative path, in order, with what changes when it is replaced:
    size and time of the last change, on S3 size and ETag."""
    if not is_remote(folder):
        files = [folder] if folder.is_file() else (path for path in folder.rglob("*") if path.is_file())
        stats = {path.relative_to(folder).as_posix(): path.stat() for path in files}
        return {name: f"{stat.st_size} {stat.st_mtime_ns}" for name, stat in sorted(stats.items())}
    remote: Any = folder
    with reaching(folder):
        remote.fs.invalidate_cache()
        found = remote.fs.find(remote.path, detail=True)
    return {
        name.removeprefix(remote.path).lstrip("/"): f"{entry['size']} {entry.get('ETag')}"
        for name, entry in sorted(found.items())
    }


def require_whole(folder: Path) -> None:
    """Raise KajiyaError when a run was broken off while it published this folder, or one in it, on S3."""
    if not is_remote(folder):
        return
    with reaching(folder):
        inner = folder.glob(f"*{_MARK}") if folder.is_dir() else ()
        for mark in [_mark(folder), *inner]:
            if mark.exists():
                raise KajiyaError(
                    f"{str(mark).removesuffix(_MARK)}: half of it may be old: its publishing was broken off, or is going "
                    "on now. Run the stage that writes it again."
                )


def is_marked(folder: Path) -> bool:
    return _mark(folder).exists()


@contextmanager
def publishing(folder: Path) -> Iterator[None]:
    """Between beginning and end of this a folder on S3 is marked as not whole; a crash leaves the mark."""
    with reaching(folder):
        _mark(folder).write_bytes(b"")
    yield
    with reaching(folder):
        _mark(folder).unlink()


def replace_by(source: Path, target: Path) -> None:
    """Make `target`, on S3, hold the files of `source`, on this disk or in the same storage, and no others."""
    remote: Any = target
    names = list(list_files(source))
    with reaching(target):
        origin: Any = source
        copy = remote.fs.copy if is_remote(source) else remote.fs.put
        begin = origin.path if is_remote(source) else str(source)
        if names:
            copy([f"{begin}/{name}" for name in names], [f"{remote.path}/{name}" for name in names])
        stale = list_files(target).keys() - set(names)
        if stale:
            remote.fs.rm([f"{remote.path}/{name}" for name in sorted(stale)])


def fetch(source: Path, target: Path) -> Path:
    """A copy on this disk of a file or folder on S3, hidden files left out."""
    remote: Any = source
    with reaching(source):
        if remote.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            remote.fs.get(remote.path, str(target))
            return target
        target.mkdir(parents=True)
        names = [name for name in list_files(source) if not is_below_hidden(name)]
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
        if names:
            remote.fs.get([f"{remote.path}/{name}" for name in names], [str(target / name) for name in names])
    return target


def remove(folder: Path) -> None:
    """A folder with all in it, where it is there."""
    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    remote: Any = folder
    names = list(list_files(folder))
    with reaching(folder):
        if names:
            remote.fs.rm([f"{remote.path}/{name}" for name in names])


_MARK = ".unfinished"


def _mark(folder: Path) -> Path:
    return folder.parent / f"{folder.name}{_MARK}"
