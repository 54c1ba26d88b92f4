"""What one run of a stage took: OUT.run.json, which differs from run to run and is not tracked."""

import hashlib
import json
import math
import os
import re
import resource
import time
from pathlib import Path
from typing import Any

from kajiya.errors import KajiyaError
from kajiya.workplace import beside

PRICE = "KAJIYA_HOUR_PRICE"
"""Environment: what an hour of this machine costs, as `3.5` or `3.5 USD`."""

_PRICE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z¥$€£円]{0,8})")


def run_record(started: float, report: str) -> dict[str, Any]:
    """Seconds, CPU seconds, memory; cores it may use, accelerators of the machine; the price of an hour, if set.

    started: of time.monotonic(). report: the text of OUT.report.json, which tells whose record this is.
    """
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    record: dict[str, Any] = {
        "seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in usage), 3),
        "peak_memory_bytes": max(one.ru_maxrss for one in usage) * 1024,  # Linux counts in KiB
        "cores": len(os.sched_getaffinity(0)),
        "accelerators": accelerators(),
        "report_sha256": _digest(report.encode()),
    }
    price = hour_price()
    return record | ({"hour_price": price} if price else {})


def read_run(out: Path) -> dict[str, Any]:
    """The record of the run that made `out`; empty where there is none that is known to be of it.

    DVC restores an output and its report, not this file nor OUT.pages: after a checkout they may tell of another
    output's run. A record that names no report, as an older kajiya wrote them, cannot be told from such a one.
    """
    try:
        record = json.loads(beside(out, "run").read_bytes())
        report = beside(out, "report").read_bytes()
    except (FileNotFoundError, ValueError):  # not run here, or cut off: then nothing is known either
        return {}
    known = isinstance(record, dict) and record.get("report_sha256") == _digest(report)
    return record if known else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def accelerators(devices: Path = Path("/dev")) -> int:
    """NVIDIA's devices here that CUDA_VISIBLE_DEVICES does not hide; asked of the files, since torch takes seconds."""
    there = sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in devices.glob("nvidia*"))
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return there if shown is None else min(there, len([one for one in shown.split(",") if one.strip()]))


def hour_price() -> str | None:
    """What an hour of this machine costs, as a person set it; None where nobody did. Raises KajiyaError for no price."""
    text = os.environ.get(PRICE)
    if text:
        read_price(text)
    return text or None


def read_price(text: str) -> tuple[float, str]:
    """`3.5 USD` as amount and currency (which may be empty). Raises KajiyaError for what is no price."""
    found = _PRICE.fullmatch(text.strip())
    if not found or not math.isfinite(float(found[1])):
        raise KajiyaError(
            f"{PRICE}={text!r}: no price. Write an amount and perhaps a currency: {PRICE}='3.5 USD'."
        )
    return float(found[1]), found[2]
