"""Where the files of a project lie, seen from its root."""

from pathlib import Path

PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")
PARAMS = Path("params.yaml")
RECIPES = Path("recipes")
REPORTS = Path("reports")
VALIDATED = Path("data/validated")
ACCEPTED = Path("accepted")
