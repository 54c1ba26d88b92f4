"""A bar on the terminal, live metrics in MLflow and a guard while a trainer runs."""

import math
import sys
from typing import Any, NoReturn

import torch
from tqdm import tqdm
from transformers import TrainerCallback

from kajiya.errors import KajiyaError
from kajiya.tracking import Tracker


class Progress(TrainerCallback):
    """One bar over all steps; every row that the trainer logs goes to the tracker."""

    def __init__(self, stage: str, tracker: Tracker) -> None:
        self._stage, self._tracker = stage, tracker
        self._bar: Any = None

    def on_train_begin(self, _arguments: Any, state: Any, *_: Any, **__: Any) -> None:
        self._bar = tqdm(
            desc=self._stage, total=state.max_steps, initial=state.global_step, unit="step", dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 10,  # a log wants lines, not an animation
        )  # fmt: skip

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._bar.update()

    def on_log(self, _arguments: Any, state: Any, *_: Any, logs: dict[str, Any], **__: Any) -> None:
        values = {
            key: float(value)
            for key, value in logs.items()
            if isinstance(value, int | float) and not key.startswith(("train_", "total_"))
        }
        if self._bar is not None and "loss" in values:
            self._bar.set_postfix(loss=f"{values['loss']:.3f}", refresh=False)
            if rate := self._bar.format_dict["rate"]:
                values["steps_per_second"] = float(rate)
        self._tracker.log(state.global_step, values)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._bar.close()


class Guard(TrainerCallback):
    """Stops a tuning that diverged, before the step that did so changes a weight."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def on_pre_optimizer_step(self, _arguments: Any, state: Any, *_: Any, model: Any, **__: Any) -> None:
        """Whatever is logged how seldom: a loss that is not finite gives gradients that are none either."""
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        if not math.isfinite(norm):
            self._stop(f"gradient norm {norm}", state.global_step + 1)

    def on_log(self, _arguments: Any, state: Any, *_: Any, logs: dict[str, Any], **__: Any) -> None:
        loss = float(logs.get("loss", 0.0))
        if not math.isfinite(loss):
            self._stop(f"loss {loss}", state.global_step)

    def _stop(self, what: str, step: int) -> NoReturn:
        raise KajiyaError(
            f"{self._stage}: {what} at step {step}: the tuning diverged. Lower {self._stage}.learning_rate, or look "
            "at the data. The checkpoints before it are kept."
        )
