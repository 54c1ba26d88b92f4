"""One rank of a training: `python -m components.pretrain.rank JOB PARENT FD`, started by launch.py."""

import ctypes
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

from components.pretrain.guards import RewindNeeded
from components.pretrain.launch import REWIND, beat_path, stacks_path
from components.pretrain.watchdog import Heart, answer_with_stacks
from kajiya.errors import MEND_FIRST, TRY_AGAIN, KajiyaError, PassingError

_PR_SET_PDEATHSIG = 1


def main() -> None:
    job_file, parent, descriptor = sys.argv[1:]
    _die_with(int(parent))
    notice = Notice()
    job = json.loads(Path(job_file).read_bytes())
    work, rank = Path(job["work"]), int(os.environ["RANK"])
    answer_with_stacks(stacks_path(work, rank))
    heart = Heart(beat_path(work, rank))
    _prepare_torch()
    # DeepSpeed picks its accelerator when it is imported.
    from components.pretrain.training import train  # noqa: PLC0415

    disable_progress_bar()  # of transformers: one shard written needs no bar

    _join(work / "rendezvous")
    try:
        train(job, notice, heart)
    except Exception as error:  # noqa: BLE001 - the parent tells it to the person
        if isinstance(error, RewindNeeded):
            os._exit(REWIND)
        if not _is_echo(error):
            os.write(int(descriptor), _message(error).encode()[: 1 << 15])
        if not isinstance(error, KajiyaError):
            traceback.print_exc()
        sys.stderr.flush()
        # Without the usual farewell: the other ranks wait in a collective that will not come.
        os._exit(_status(error))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


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


def _is_echo(error: Exception) -> bool:
    """Whether this rank only fell because another one did."""
    words = ("gloo", "nccl", "connection closed", "connection reset")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def _message(error: Exception) -> str:
    if isinstance(error, KajiyaError):
        return str(error)
    return (
        f"rank {os.environ['RANK']} of the training failed with {type(error).__name__}: {error}. "
        "The other ranks were ended; run again to continue from the last checkpoint."
    )


def _status(error: Exception) -> int:
    if isinstance(error, PassingError):
        return TRY_AGAIN
    return MEND_FIRST if isinstance(error, KajiyaError) else 1


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
