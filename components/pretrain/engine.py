"""What the training loop asks of an engine, whatever stands behind it.

One rank trains on plain torch (plain_engine.py): sharding over one device buys nothing. Two or more
ranks train on DeepSpeed ZeRO (deepspeed_engine.py). Both compute in `config.precision` and keep
the fp32 master weights and Adam's two moments, which a checkpoint reads and writes as slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.distributed

from components.pretrain.objective import NextTokenLoss
from components.pretrain.settings import PretrainSettings

Kind = Literal["master", "exp_avg", "exp_avg_sq"]
KINDS: tuple[Kind, ...] = ("master", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Slice:
    """A part of one parameter's state that lies in this rank's memory."""

    name: str
    """The parameter, as the HF model calls it. Tied parameters have one name."""
    kind: Kind
    """master: the fp32 weight. exp_avg, exp_avg_sq: Adam's moments."""
    offset: int
    """Place of the first element in the flattened parameter."""
    tensor: torch.Tensor
    """fp32, shape (elements,): the engine's own memory. Writing into it changes the training state."""
    owned: bool
    """True on exactly one rank for every element of every kind. Ranks may hold copies (ZeRO 0): all
    that hold a slice must be restored, the owner alone needs to save it."""


class Engine(Protocol):
    """A model, its optimizer and the way its ranks share the work. All ranks make the same calls."""

    model: Any
    """The HF model. Its parameters may be parts (ZeRO 3): read them by `weights`."""
    device: torch.device
    rank: int
    ranks: int

    def micro_step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Forward and backward pass of one micro-batch, its gradients added to those before.

        tokens: (sequences, context + 1). Returns the loss of every label, fp32 (sequences, context).
        Every micro-batch of a step counts alike: gradients are those of the mean over the global batch,
        so a step takes exactly `accumulation` micro-steps on every rank.
        """
        ...

    def gradient_norm(self) -> float:
        """Global norm of the gradients of the whole step, before clipping; not finite if one of them is not.

        Call it after the last micro-step and before `step` or `discard`.
        """
        ...

    def step(self, learning_rate: float) -> None:
        """Clip, update the weights and forget the gradients."""
        ...

    def discard(self) -> None:
        """Forget the gradients instead of `step`: weights, moments and step count stay as they are."""
        ...

    def losses(self, tokens: torch.Tensor) -> torch.Tensor:
        """Loss of every label without gradients, as in `micro_step`, dropout off; of any length, never compiled."""
        ...

    def weights(self, wanted: bool = True) -> dict[str, torch.Tensor]:
        """All parameters on the CPU in `precision`, by name. Under ZeRO 3 every rank gathers.

        wanted: False on ranks that only help to gather: they copy nothing, and get an empty dict.
        """
        ...

    def slices(self) -> Iterator[Slice]:
        """The state in this rank's memory, in the same order on every call."""
        ...

    def optimizer_steps(self) -> int:
        """Updates that Adam's bias correction has counted; 0 before the first."""
        ...

    def restore(self, optimizer_steps: int) -> None:
        """Take up what was written into the slices: the step count, and the weights from their masters.

        Drops gradients. All ranks must have written all their slices; this is a collective.
        """
        ...


def make_engine(model: Any, config: PretrainSettings, end_of_sequence: int) -> Engine:
    """The engine for as many ranks as the process group has; without a group there is one.

    model: on the CPU, in any precision. The fp32 masters are made of its weights as they are; after that the weights are
    rounded to `config.precision`. Buffers stay: rotary frequencies in bf16 would turn late positions wrongly.
    """
    objective = NextTokenLoss(model, config, end_of_sequence)
    distributed = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
    if not distributed:
        from components.pretrain.plain_engine import PlainEngine  # noqa: PLC0415

        return PlainEngine(objective, config)
    # Seconds to import, and not installed everywhere.
    from components.pretrain.deepspeed_engine import DeepSpeedEngine  # noqa: PLC0415

    return DeepSpeedEngine(objective, config)


def compute_dtype(config: PretrainSettings) -> torch.dtype:
    return torch.bfloat16 if config.precision == "bf16" else torch.float32


def device_of_rank() -> torch.device:
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def adamw(parameters: list[tuple[torch.Tensor, bool]], config: PretrainSettings) -> torch.optim.AdamW:
    """AdamW over (parameter, whether it decays); its learning rate is given at each step."""
    settings = config.optimizer
    groups = [
        {"params": [p for p, decays in parameters if decays], "weight_decay": settings.weight_decay},
        {"params": [p for p, decays in parameters if not decays], "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=settings.epsilon, fused=True)


def fresh_adam_state(master: torch.Tensor) -> dict[str, torch.Tensor]:
    """What AdamW makes at its first step, made before it: a slice needs something to be written into."""
    return {
        # Fused AdamW counts on the device of the weights.
        "step": torch.zeros((), dtype=torch.float32, device=master.device),
        "exp_avg": torch.zeros_like(master, requires_grad=False),
        "exp_avg_sq": torch.zeros_like(master, requires_grad=False),
    }
