"""How much memory the stage may take: placement, never identity. It changes the speed, not a byte."""

import os

from kajiya.engine import workers
from kajiya.errors import KajiyaError

# Interpreter, libraries and the batches in hand; measured 220-300 MB on Linux with CPython 3.11.
_PROCESS_BYTES = 300 << 20
_SMALLEST_WORKING_BYTES = 32 << 20


def working_bytes() -> int:
    """What the stage may hold of records that it sorts or compares.

    KAJIYA_MEMORY_MB (half of the machine's memory, when unset) less what the processes take anyway.
    """
    total = _memory_bytes()
    processes = (workers() + 1) * _PROCESS_BYTES
    if total - processes < _SMALLEST_WORKING_BYTES:
        least = (processes + _SMALLEST_WORKING_BYTES) // 1_000_000 + 1
        raise KajiyaError(
            f"KAJIYA_MEMORY_MB={total // 1_000_000} in the environment: {workers()} workers and the stage take "
            f"{least} at least. Raise it, or set KAJIYA_WORKERS lower."
        )
    return total - processes


def _memory_bytes() -> int:
    value = os.environ.get("KAJIYA_MEMORY_MB", "")
    if not value:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    if not value.isdigit():
        raise KajiyaError(f"KAJIYA_MEMORY_MB={value!r} in the environment: set it to a number of megabytes.")
    return int(value) * 1_000_000
