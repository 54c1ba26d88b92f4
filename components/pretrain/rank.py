"""One rank of a training: `python -m components.pretrain.rank JOB PARENT FD`, started by launch.py."""

import ctypes
import errno
import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from components.pretrain.endings import REWIND, beat_path, stacks_path
from components.pretrain.guards import RewindNeeded
from components.pretrain.watchdog import Heart, answer_with_stacks
from kajiya.errors import MEND_FIRST, TRY_AGAIN, KajiyaError, PassingError, disk_error

_PR_SET_PDEATHSIG = 1


def main() -> None:
    job_file, parent, descriptor = sys.argv[1:]
    _die_with(int(parent))
    notice = Notice()
    try:
        _train(json.loads(Path(job_file).read_bytes()), notice)
    except Exception as error:  # noqa: BLE001 - the parent tells it to the person
        status, message = verdict(error)
        os.write(int(descriptor), message.encode()[: 1 << 15])
        if not isinstance(error, KajiyaError | RewindNeeded):
            traceback.print_exc()
        sys.stderr.flush()
        # Without the usual farewell: the other ranks wait in a collective that will not come.
        os._exit(status)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _train(job: dict[str, Any], notice: "Notice") -> None:
    work, rank = Path(job["work"]), int(os.environ["RANK"])
    answer_with_stacks(stacks_path(work, rank))
    heart = Heart(beat_path(work, rank))
    _prepare_torch()
    # DeepSpeed picks its accelerator when it is imported.
    from components.pretrain.training import train  # noqa: PLC0415

    disable_progress_bar()  # of transformers: one shard written needs no bar

    _join(work / "rendezvous")
    train(job, notice, heart)


class Notice:
    """Whether this rank was told to stop. Ctrl-C reaches it too, but is the launcher's to pass on."""

    def __init__(self) -> None:
        self.came = False
        signal.signal(signal.SIGTERM, self._take)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _take(self, number: int, frame: Any) -> None:  # noqa: ARG002 - the form of a handler
        self.came = True


def _die_with(parent: int) -> None:
    """End when the stage is killed: an orphan would write into the checkpoints of the next run."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the stage that started this rank is gone")


def verdict(error: Exception) -> tuple[int, str]:
    """Exit status, and what the person is told: "try again" only for what may be over at the next try.

    A rank that only fell because another one did says nothing.
    """
    if isinstance(error, RewindNeeded):
        return REWIND, ""
    if isinstance(error, KajiyaError):
        return TRY_AGAIN if isinstance(error, PassingError) else MEND_FIRST, str(error)
    if _is_echo(error):
        return TRY_AGAIN, ""
    failed = f"rank {os.environ.get('RANK', '?')} of the training failed with {type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.errno in _CONNECTION_LOST:
        return TRY_AGAIN, f"{failed}. Run again to continue from the last checkpoint."
    return MEND_FIRST, f"{failed}. {_remedy(error)}"


_CONNECTION_LOST = {
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED,
    errno.ENETUNREACH, errno.EHOSTUNREACH,
}  # fmt: skip
"""To a disk over the network, or to a server."""

# safetensors and torch tell of a full disk in their own exceptions.
_FULL = ("no space left on device", "disk quota exceeded")
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def _remedy(error: Exception) -> str:
    said = str(error).lower()
    if isinstance(error, OSError) and (disk := disk_error(error, "the disk")):
        return str(disk)
    if any(word in said for word in _FULL):
        return "Free some disk space and run again: training continues from the last checkpoint."
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in said for word in _NO_MEMORY):
        return (
            "It needs more memory than there is. More devices (KAJIYA_RANKS) go on from the last checkpoint; a smaller "
            "pretrain.micro_batch_sequences, activation_checkpointing, offload_optimizer or a higher zero_stage take "
            "less, and train anew."
        )
    return (
        "This is a defect of kajiya or of what it stands on, and would come again; its traceback stands above or in "
        "the rank's log. The checkpoints are kept: when mended, run again to continue."
    )


def _is_echo(error: Exception) -> bool:
    """Whether this rank only fell because another one did."""
    words = ("gloo", "nccl", "connection closed", "connection reset")
    told = any(word in str(error).lower() for word in words)
    return isinstance(error, RuntimeError) and told and not isinstance(error, torch.OutOfMemoryError)


def _prepare_torch() -> None:
    logging.disable(logging.INFO)  # DeepSpeed tells its whole configuration
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    else:
        os.environ["DS_ACCELERATOR"] = "cpu"
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.use_deterministic_algorithms(True)
    # Filling every new tensor with NaN finds reads of garbage, for 5 % of the time on CPUs.
    torch.utils.deterministic.fill_uninitialized_memory = False


def _join(rendezvous: Path) -> None:
    """Meet the other ranks over a file: no port to be in use."""
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(
        backend,
        init_method=f"file://{rendezvous.resolve()}",
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )


if __name__ == "__main__":
    main()
