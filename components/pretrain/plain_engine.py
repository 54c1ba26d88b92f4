"""One rank on plain torch: fused AdamW, fp32 masters beside bf16 weights, no DeepSpeed."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from components.pretrain.engine import KINDS, Slice, adamw, compute_dtype, device_of_rank, fresh_adam_state
from components.pretrain.objective import NextTokenLoss, parameter_names
from components.pretrain.settings import PretrainSettings


class PlainEngine:
    """See engine.Engine. Every state tensor is whole: offsets are 0 and everything is owned."""

    rank = 0
    ranks = 1

    def __init__(self, objective: NextTokenLoss, config: PretrainSettings) -> None:
        self.device = device_of_rank()
        self.model: Any = objective.causal
        self._dtype = compute_dtype(config)
        self._clip = config.optimizer.clip_gradient_norm
        self._accumulation = config.global_batch_sequences // config.micro_batch_sequences
        self._offload = config.offload_optimizer and self.device.type == "cuda"
        self._parameters = dict(parameter_names(objective))
        self._masters = {name: self._master(parameter) for name, parameter in self._parameters.items()}
        self._objective = objective.to(self.device).train()  # buffers: the parameters are there
        self._optimizer = adamw([(master, master.dim() > 1) for master in self._masters.values()], config)
        for master in self._masters.values():
            self._optimizer.state[master] = fresh_adam_state(master)
        self._norm: float | None = None

    def _master(self, parameter: torch.nn.Parameter) -> torch.Tensor:
        exact = parameter.detach()
        parameter.data = exact.to(self.device, self._dtype)
        if self._dtype == torch.float32 and not self._offload:
            return parameter
        # From what was given: rounded to bf16 first, it would forget what the base knew beyond.
        master = exact.to("cpu" if self._offload else self.device, torch.float32, copy=True)
        master.requires_grad_()
        # As soon as a gradient is whole it moves to fp32: bf16 would lose small addends over the
        # micro-batches, and two sets of gradients are never held.
        parameter.register_post_accumulate_grad_hook(partial(_accumulate, master))
        return master

    def micro_step(self, tokens: torch.Tensor) -> torch.Tensor:
        loss, losses = self._objective(tokens)
        (loss / self._accumulation).backward()
        return losses

    def gradient_norm(self) -> float:
        if self._norm is None:
            self._norm = float(torch.nn.utils.get_total_norm(self._gradients(), foreach=True))
        return self._norm

    def step(self, learning_rate: float) -> None:
        norm = self.gradient_norm()
        if norm > self._clip or not math.isfinite(norm):
            torch._foreach_mul_(self._gradients(), self._clip / (norm + 1e-6))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self.discard()
        self._weights_from_masters()

    def discard(self) -> None:
        self._norm = None
        for master in self._masters.values():
            master.grad = None

    def losses(self, tokens: torch.Tensor) -> torch.Tensor:
        self._objective.eval()
        with torch.no_grad(), self._objective.uncompiled():
            _, losses = self._objective(tokens)
        self._objective.train()
        return losses

    def weights(self, wanted: bool = True) -> dict[str, torch.Tensor]:
        parameters = self._parameters.items() if wanted else ()
        return {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters}

    def slices(self) -> Iterator[Slice]:
        for name, master in self._masters.items():
            state = {"master": master.detach(), **self._optimizer.state[master]}
            for kind in KINDS:
                yield Slice(name, kind, 0, state[kind].view(-1), owned=True)

    def optimizer_steps(self) -> int:
        first = next(iter(self._masters.values()))
        return int(self._optimizer.state[first]["step"])

    def restore(self, optimizer_steps: int) -> None:
        for state in self._optimizer.state.values():
            state["step"].fill_(optimizer_steps)
        self.discard()
        self._weights_from_masters()

    def _gradients(self) -> list[torch.Tensor]:
        return [master.grad for master in self._masters.values() if master.grad is not None]

    @torch.no_grad()
    def _weights_from_masters(self) -> None:
        pairs = [
            (parameter, self._masters[name])
            for name, parameter in self._parameters.items()
            if parameter is not self._masters[name]
        ]
        if pairs:
            torch._foreach_copy_([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _accumulate(master: torch.Tensor, parameter: torch.nn.Parameter) -> None:
    assert parameter.grad is not None
    gradient = parameter.grad.to(master.device, torch.float32)
    if master.grad is None:
        master.grad = gradient
    else:
        master.grad.add_(gradient)
    parameter.grad = None
