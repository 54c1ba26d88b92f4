"""Refuse a model folder with numbers that are none: every score of it would be one too, or chance."""

from pathlib import Path

import torch
from safetensors import safe_open

from kajiya.errors import KajiyaError


def check_finite(folder: Path, remedy: str) -> None:
    """Raise KajiyaError naming the first tensor (weights, scales) with NaN or infinity. Reads one at a time."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                values = file.get_tensor(name)
                if values.is_floating_point() and not bool(torch.isfinite(values).all()):
                    count = int((~torch.isfinite(values)).sum())
                    raise KajiyaError(
                        f"{path}: {name} has {count:,} values of {values.numel():,} that are NaN or infinite. {remedy}"
                    )
