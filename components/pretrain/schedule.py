"""How many steps, and the learning rate of each: pure functions of the settings."""

import math

from components.pretrain.settings import PretrainSettings, Schedule
from kajiya.errors import KajiyaError


def planned_steps(config: PretrainSettings, sequences: int) -> int:
    """Optimizer steps over `sequences` training sequences. Raises KajiyaError when the data do not last."""
    batch = config.global_batch_sequences
    if config.steps is None:
        epochs = config.epochs or 1.0
        steps = int(epochs * sequences / batch)
        if steps < 1:
            raise KajiyaError(
                f"pretrain: {epochs:g} epochs of {sequences} sequences do not fill one batch of {batch}. "
                "Lower global_batch_sequences or bring more text."
            )
    else:
        steps, epochs = config.steps, config.steps * batch / sequences
    if epochs > config.max_epochs:
        raise KajiyaError(
            f"pretrain: {steps} steps x {batch} sequences read the {sequences} training sequences "
            f"{epochs:.2f} times, but max_epochs is {config.max_epochs:g}. Lower the steps, bring more text, "
            "or raise max_epochs knowingly."
        )
    _check_schedule(config.schedule, steps)
    return steps


def _check_schedule(schedule: Schedule, steps: int) -> None:
    """Raise KajiyaError where the training would end before its peak, or fall from it by a jump."""
    decay = _decay_steps(schedule, steps) if schedule.kind == "wsd" else 0
    if schedule.warmup_steps + decay > steps:
        falling = f" and {decay} of decay" if decay else ""
        raise KajiyaError(
            f"pretrain.schedule: {schedule.warmup_steps} steps of warmup{falling} do not fit into {steps} steps "
            "of training. Lower schedule.warmup_steps, or train longer."
        )


def learning_rate(schedule: Schedule, peak: float, step: int, steps: int) -> float:
    """Learning rate of optimizer step `step` (from 0) of `steps`."""
    if step < schedule.warmup_steps:
        return peak * (step + 1) / schedule.warmup_steps
    final = peak * schedule.final_fraction
    if schedule.kind == "cosine":
        progress = (step - schedule.warmup_steps + 1) / max(1, steps - schedule.warmup_steps)
        return final + (peak - final) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    left = steps - step - 1
    return final + (peak - final) * min(1.0, left / _decay_steps(schedule, steps))


def _decay_steps(schedule: Schedule, steps: int) -> int:
    return max(1, round(steps * schedule.decay_fraction))
