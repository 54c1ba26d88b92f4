"""What the figures were taken on."""

import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def gpu_name() -> str | None:
    import torch  # noqa: PLC0415 - a table that is only printed needs none of it

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
