"""Every number the pipeline wrote about a variant, under a name MLflow takes."""

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from kajiya.errors import KajiyaError

# MLflow draws a curve well with so many points, and a long run would have millions.
MAX_POINTS = 500


class Point(NamedTuple):
    """One value of a training curve."""

    name: str
    step: int
    value: float


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises KajiyaError naming the file and the line."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise KajiyaError(
            f"{path}: no such file. Run the stage that writes it first (`kajiya run`)."
        ) from None
    except json.JSONDecodeError as error:
        raise KajiyaError(f"{path}:{error.lineno}: not valid JSON ({error.msg}). Rerun its stage.") from None
    except _NoNumberError as error:
        raise KajiyaError(
            f"{path}: holds {error}, which is no score: the model is damaged, or its training diverged."
            " Look at its loss, and rerun the stage that made it."
        ) from None
    if not isinstance(content, dict):
        raise KajiyaError(f"{path}: expected a JSON object, found {type(content).__name__}. Rerun its stage.")
    return content


class _NoNumberError(ValueError):
    pass


def _refuse(constant: str) -> None:
    """NaN and infinities, which Python reads though JSON has none."""
    raise _NoNumberError(constant)


def flatten(content: Any, prefix: str = "") -> dict[str, float]:
    """Numbers at any depth by their path: {"a": {"0": {"acc": 0.5}}} gives {"a/0/acc": 0.5}.

    Truth values are no numbers; lists have no names to their items and are passed over.
    """
    if isinstance(content, dict):
        found: dict[str, float] = {}
        for key, value in content.items():
            name = re.sub(r"[^\w\-. ]", "_", str(key), flags=re.ASCII)
            found |= flatten(value, f"{prefix}/{name}" if prefix else name)
        return found
    if isinstance(content, (int, float)) and not isinstance(content, bool):
        return {prefix: float(content)}
    return {}


def read_curve(model: Path) -> list[Point]:
    """The training curve in a model's metrics.jsonl, thinned evenly to MAX_POINTS steps; none if absent.

    Each line holds `step` and numbers by name.
    """
    path = model / "metrics.jsonl"
    if not path.exists():
        return []
    lines = [
        (number, line) for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if line
    ]
    stride = math.ceil(len(lines) / MAX_POINTS) or 1
    # Counted from the end: the last step is the one that everybody looks for.
    kept = lines[::-1][::stride][::-1]
    return [point for number, line in kept for point in _points(path, number, line)]


def _points(path: Path, number: int, line: str) -> list[Point]:
    try:
        record = json.loads(line)
        step = int(record.pop("step"))
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        raise KajiyaError(f"{path}:{number}: expected a JSON object with `step`. Rerun its stage.") from None
    return [Point(name, step, value) for name, value in flatten(record).items()]


def weights_bytes(model: Path) -> int:
    """Size of the weights. Raises KajiyaError when there are none: nothing could be loaded."""
    files = sorted(model.glob("*.safetensors"))
    if not files:
        raise KajiyaError(f"{model}: no *.safetensors in it. Rerun the stage that makes this model.")
    return sum(file.stat().st_size for file in files)
