"""Less at once where the accelerator's memory does not hold it."""

from collections.abc import Callable
from typing import TypeVar

import torch

from kajiya.errors import KajiyaError

Result = TypeVar("Result")


class Budget:
    """How much is computed at once. What runs out of memory halves it, for itself and all that comes later."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def attempt(self, compute: Callable[[int], Result]) -> Result:
        """compute(amount), again with half of it for as long as it runs out of memory."""
        while True:
            try:
                return compute(self.amount)
            except torch.OutOfMemoryError as error:
                self.halve(error)
            # Only here are the tensors of the failed pass gone: the error held them.
            torch.cuda.empty_cache()

    def halve(self, error: torch.OutOfMemoryError) -> None:
        if self.amount == 1:
            raise KajiyaError(
                f"evaluate: a single sequence does not fit into the accelerator's memory ({error}). "
                "Use a device with more of it, or set evaluate.dtype to bfloat16."
            ) from error
        self.amount //= 2
