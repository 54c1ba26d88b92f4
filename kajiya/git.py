"""The state of the code, as git tells it: commit, uncommitted changes, unknown files."""

import subprocess
from pathlib import Path

from pydantic import BaseModel, ConfigDict

# dvc.lock changes with every run and is recorded by itself; it says nothing about the code.
NOT_CODE = "dvc.lock"

# The person's own git settings must not shape the patch: the lineage is hashed.
_DIFF = [
    *("-c", "core.quotePath=false", "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false"),
    *("diff", "HEAD", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--no-renames", "--diff-algorithm=myers", "--unified=3", "--", ".", f":(exclude){NOT_CODE}"),
]


class CodeState(BaseModel):
    """Which code ran. Either `commit` is known, or `problem` says why not."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    commit: str | None = None
    """Full hash of HEAD."""
    dirty: bool | None = None
    """Whether the files differ from the commit; null when that is unknown."""
    patch: str = ""
    """Uncommitted changes of tracked files, as `git apply` takes them."""
    untracked: tuple[str, ...] = ()
    """Files that git neither knows nor ignores."""
    problem: str | None = None
    """Why the commit is unknown."""


def code_state(root: Path, whole: bool = False) -> CodeState:
    """Commit and changes of `root`, or of the whole repository it lies in; a statement, never an error."""
    try:
        root = Path(_git(root, "rev-parse", "--show-toplevel").strip()) if whole else root
        commit = _git(root, "rev-parse", "--verify", "HEAD").strip()
        patch = _git(root, *_DIFF)
        listing = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    except FileNotFoundError:
        return CodeState(problem="git is not installed: the commit is unknown.")
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()
        return CodeState(problem=f"The commit is unknown: {reason[0] if reason else 'git failed'}.")
    untracked = tuple(sorted(name for name in listing.split("\0") if name and name != NOT_CODE))
    return CodeState(commit=commit, dirty=bool(patch or untracked), patch=patch, untracked=untracked)


def list_files(root: Path) -> list[str]:
    """Files below `root` that git knows, and those it neither knows nor ignores; without git all but hidden ones."""
    try:
        listing = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    except (FileNotFoundError, subprocess.CalledProcessError):
        found = (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())
        return [
            path.as_posix()
            for path in found
            if "__pycache__" not in path.parts and not any(part.startswith(".") for part in path.parts[:-1])
        ]
    return sorted(name for name in listing.split("\0") if name and (root / name).is_file())


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True)
    return done.stdout.decode(errors="surrogateescape").encode(errors="replace").decode()
