"""Two or more ranks on DeepSpeed ZeRO 0-3, its state told in slices of named parameters.

DeepSpeed's own checkpoints are pickles bound to the number of ranks, so the state is taken from where
its ZeRO optimizers keep it: flat fp32 partitions, of which each holds parts of several parameters.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import deepspeed
import torch
from deepspeed.runtime.bf16_optimizer import BF16_Optimizer
from deepspeed.runtime.utils import combine_grad_norm_groups, get_global_norm_of_tensors

from components.pretrain.engine import KINDS, Slice, adamw, compute_dtype, fresh_adam_state
from components.pretrain.objective import NextTokenLoss, parameter_names
from components.pretrain.settings import PretrainSettings
from kajiya.errors import KajiyaError


class DeepSpeedEngine:
    """See engine.Engine."""

    def __init__(self, objective: NextTokenLoss, config: PretrainSettings) -> None:
        if not torch.cuda.is_available():
            # The shared-memory collective would be compiled by g++ for 85 seconds; gloo does the same.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self.rank = torch.distributed.get_rank()
        self.ranks = torch.distributed.get_world_size()
        self.model: Any = objective.causal
        self._objective = objective
        self._named = parameter_names(objective)
        exact = self._round_weights(compute_dtype(config))
        optimizer = adamw([(parameter, parameter.dim() > 1) for _, parameter in self._named], config)
        settings = engine_config(objective, config, self.ranks)
        with explain_missing_compiler():
            self._engine, *_ = deepspeed.initialize(
                model=objective, optimizer=optimizer, config=settings, dist_init_required=False
            )
        self._optimizer = self._engine.optimizer
        self._adam = self._engine.basic_optimizer
        self._stage: int = self._engine.zero_optimization_stage()
        self.device = torch.device(self._engine.device)
        # ZeRO 3 and the bf16 optimizer make an empty first step to allocate the moments (at learning
        # rate 0); counted, it would shift Adam's bias correction.
        for master in self._masters():
            self._adam.state[master] = fresh_adam_state(master)
        self._engine.train()
        self._waiting = False  # a backward pass is done, and neither counted nor used
        self._refine_masters(exact)

    def _round_weights(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """Cast the parameters. Returns those that lost something by it, as they were."""
        exact = {}
        for name, parameter in self._named:
            if parameter.dtype != dtype:
                if dtype != torch.float32:
                    exact[name] = parameter.detach()
                parameter.data = parameter.detach().to(dtype)
        return exact

    @torch.no_grad()
    def _refine_masters(self, exact: dict[str, torch.Tensor]) -> None:
        """DeepSpeed makes the masters of the rounded weights: give them what was rounded off."""
        for part in self.slices():
            if part.kind == "master" and part.name in exact:
                end = part.offset + part.tensor.numel()
                part.tensor.copy_(exact[part.name].view(-1)[part.offset : end])

    def micro_step(self, tokens: torch.Tensor) -> torch.Tensor:
        if self._waiting:
            self._engine.step()  # between micro-batches DeepSpeed only counts here
        loss, losses = self._engine(tokens)
        self._engine.backward(loss)
        self._waiting = True
        return losses

    def gradient_norm(self) -> float:
        optimizer = self._optimizer
        if optimizer is self._adam:
            gradients = [parameter.grad for _, parameter in self._named if parameter.grad is not None]
            return float(torch.nn.utils.get_total_norm(gradients))
        if isinstance(optimizer, BF16_Optimizer):
            return float(get_global_norm_of_tensors(optimizer.get_grads_for_norm()[0]))
        if self._stage == 3:
            return float(combine_grad_norm_groups(optimizer._get_norm_groups()))
        return float(optimizer.scaled_global_norm())

    def step(self, learning_rate: float) -> None:
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._engine.step()
        self._waiting = False

    def discard(self) -> None:
        # DeepSpeed counts its micro-steps in `step`, so that is called, with an update that only forgets.
        update = self._optimizer.step
        self._optimizer.step = self._forget_gradients
        try:
            self._engine.step()
        finally:
            self._optimizer.step = update
        self._waiting = False

    def losses(self, tokens: torch.Tensor) -> torch.Tensor:
        self._engine.eval()
        with torch.no_grad(), self._objective.uncompiled():
            _, losses = self._engine(tokens)
        self._engine.train()
        return losses

    def weights(self, wanted: bool = True) -> dict[str, torch.Tensor]:
        gather: Callable[..., Any] = deepspeed.zero.GatheredParameters
        weights = {}
        for name, parameter in self._named:
            with gather([parameter]) if self._stage == 3 else nullcontext():
                if wanted:
                    weights[name] = parameter.detach().to("cpu", copy=True)
        return weights

    def slices(self) -> Iterator[Slice]:
        for number, (name, parameter) in enumerate(self._named):
            if self._optimizer is self._adam:  # every rank holds all; they share the work of saving
                place, owned = (parameter, 0, parameter.numel(), 0), number % self.ranks == self.rank
            else:
                place, owned = self._place(parameter), True
            flat, start, count, offset = place
            if count > 0:
                state = {"master": flat.detach(), **self._adam.state[flat]}
                for kind in KINDS:
                    yield Slice(name, kind, offset, state[kind].view(-1)[start : start + count], owned)

    def optimizer_steps(self) -> int:
        return int(self._adam.state[self._masters()[0]]["step"])

    @torch.no_grad()
    def restore(self, optimizer_steps: int) -> None:
        if self._waiting:
            self.discard()
        for state in self._adam.state.values():
            state["step"].fill_(optimizer_steps)
        if self._stage == 3:
            for _, parameter in self._named:
                flat, start, count, _ = self._place(parameter)
                parameter.ds_tensor.data[:count].copy_(flat[start : start + count])
        elif self._optimizer is not self._adam:
            self._optimizer.update_lp_params()

    def _place(self, parameter: Any) -> tuple[torch.Tensor, int, int, int]:
        """Where this rank keeps its part: flat partition, start and count in it, offset in the parameter."""
        if self._stage == 3:
            group, start, padded = self._optimizer.grad_position[self._optimizer.get_param_id(parameter)]
            offset = self.rank * padded
            # The last rank's part is filled up.
            count = max(0, min(padded, parameter.ds_numel - offset))
            return self._optimizer.fp32_partitioned_groups_flat[group], start, count, offset
        part = parameter._hp_mapping
        if part is None:  # wholly on another rank
            return self._masters()[0], 0, 0, 0
        flat = self._masters()[part.param_group_index]
        held = part.hp_fragment_address
        return flat, held.start, held.numel, part.lp_fragment_address.start

    def _masters(self) -> list[torch.Tensor]:
        if self._stage == 3:
            return list(self._optimizer.fp32_partitioned_groups_flat)
        return [tensor for group in self._adam.param_groups for tensor in group["params"]]

    def _forget_gradients(self) -> None:
        optimizer = self._optimizer
        if optimizer is self._adam:
            return  # DeepSpeed itself sets them to None after the update
        if isinstance(optimizer, BF16_Optimizer):
            optimizer.clear_hp_grads()
            optimizer.clear_lp_grads()
        elif self._stage == 3:
            optimizer._overflow_clean_up(1.0)
        else:
            optimizer.zero_grad(set_to_none=True)
            if optimizer.cpu_offload:
                optimizer.reset_cpu_buffers()
            for key in optimizer.averaged_gradients:
                optimizer.averaged_gradients[key] = None
                optimizer.all_grad_tensors[key] = None


@contextmanager
def explain_missing_compiler() -> Iterator[None]:
    """Turn what DeepSpeed says when it cannot build an operator into what a person can do about it."""
    try:
        yield
    except RuntimeError as error:
        if not any(phrase in str(error) for phrase in ("Unable to JIT load", "Error building extension")):
            raise
        raise KajiyaError(
            "DeepSpeed wants to compile an operator and cannot: is there a compiler? Install one "
            f"(Debian, Ubuntu: `apt-get install g++ ninja-build`) and run again. It said: {error}"
        ) from error


def engine_config(model: Any, config: PretrainSettings, ranks: int) -> dict[str, Any]:
    # DeepSpeed allocates its buckets in full, so a small model must not ask for half a billion.
    bucket = min(500_000_000, sum(parameter.numel() for parameter in model.parameters()))
    accumulation = config.global_batch_sequences // (config.micro_batch_sequences * ranks)
    bf16 = config.precision == "bf16"
    # Without ZeRO DeepSpeed accumulates bf16 gradients in bf16.
    stage = max(1, config.zero_stage) if bf16 else config.zero_stage
    settings: dict[str, Any] = {
        "train_batch_size": config.global_batch_sequences,
        "train_micro_batch_size_per_gpu": config.micro_batch_sequences,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": config.optimizer.clip_gradient_norm,
        "steps_per_print": 2**62,
        "bf16": {"enabled": bf16},
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": stage,
            "overlap_comm": torch.cuda.is_available(),
            "contiguous_gradients": True,
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            # 0: every parameter is in exactly one partition, which is what a checkpoint holds.
            "stage3_param_persistence_threshold": 0,
        },
    }
    if config.offload_optimizer and stage > 0:
        settings["zero_optimization"]["offload_optimizer"] = {
            "device": "cpu",
            "pin_memory": torch.cuda.is_available(),
        }
        # torch's fused AdamW runs on CPUs too; DeepSpeed's own would be compiled at first use.
        settings["zero_force_ds_cpu_optimizer"] = False
    if bf16 and accumulation > 1:
        settings["data_types"] = {"grad_accum_dtype": "fp32"}  # bf16 loses small addends
    return settings
