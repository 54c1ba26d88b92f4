"""As many threads as the matrices of a model can use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# Below, a thread waits for the other longer than it works: a model 256 wide took 4 CPU seconds with one thread and, beside
# other work on the same two cores, 31 with two (GPTQ). From here on a matrix keeps a thread busy for a millisecond.
_WIDE = 1024


@contextmanager
def fitting_threads(config: Any) -> Iterator[None]:
    """One thread for a narrow model, by its config alone: the number changes the order of sums, and so bits.

    OMP_NUM_THREADS in the environment is taken as it is.
    """
    before = torch.get_num_threads()
    if config.hidden_size < _WIDE and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
