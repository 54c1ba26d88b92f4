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
    processes = (workers() + 1) * _PROCESS_BYTES
    value = os.environ.get("KAJIYA_MEMORY_MB", "")
    if not value:
        half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        return max(_SMALLEST_WORKING_BYTES, half - processes)
    if not value.isdigit():
        raise KajiyaError(f"KAJIYA_MEMORY_MB={value!r} in the environment: set it to a number of megabytes.")
    if (working := int(value) * 1_000_000 - processes) < _SMALLEST_WORKING_BYTES:
        least = (processes + _SMALLEST_WORKING_BYTES) // 1_000_000 + 1
        raise KajiyaError(
            f"KAJIYA_MEMORY_MB={value} in the environment: the stage with {workers()} workers takes at least "
            f"{least}. Raise it, or set KAJIYA_WORKERS lower."
        )
    return working
