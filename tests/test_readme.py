"""The README's tree names every file that is there, and none that is not."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("kajiya", "flows", "components")


def test_tree_of_the_readme_is_that_of_the_packages():
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not path.name.startswith("__")
    }
    assert set(paths_of_the_tree()) == files


def paths_of_the_tree():
    tree = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The tree")[2]
    folders: list[str] = []
    for spaces, name in re.findall(r"^ {4}( *)(\S+)", tree, re.MULTILINE):
        folders = folders[: len(spaces) // 2]
        if name.endswith("/"):
            folders.append(name.rstrip("/"))
        elif name.endswith(".py"):
            yield "/".join([*folders, name])
