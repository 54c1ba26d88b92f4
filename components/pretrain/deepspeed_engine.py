"""A DeepSpeed engine whose whole state can be read out and put back, rank by rank.

DeepSpeed's own checkpoints are pickles, so the state is taken from where its ZeRO optimizers keep it:
the fp32 master partition of this rank, its Adam moments, and the parameters (ZeRO 3: this rank's part).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import deepspeed
import torch

from components.pretrain.settings import PretrainSettings
from kajiya.errors import KajiyaError


def make_engine(model: Any, config: PretrainSettings) -> Any:
    """The engine around `model`. Its optimizer state is empty: step 0."""
    if not torch.cuda.is_available():
        # The shared-memory collective would be compiled by g++ for 85 seconds; gloo does the same.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    optimizer = _adamw(model, config)
    with explain_missing_compiler():
        engine, *_ = deepspeed.initialize(
            model=model, optimizer=optimizer, config=engine_config(model, config), dist_init_required=False
        )
    # ZeRO 3 and the bf16 optimizer make an empty first step to allocate the moments (at learning
    # rate 0); counted, it would shift Adam's bias correction.
    engine.basic_optimizer.state.clear()
    return engine


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


def engine_config(model: Any, config: PretrainSettings) -> dict[str, Any]:
    # DeepSpeed allocates its buckets in full, so a small model must not ask for half a billion.
    bucket = min(500_000_000, sum(parameter.numel() for parameter in model.parameters()))
    accumulation = config.global_batch_sequences // (config.micro_batch_sequences * config.ranks)
    settings: dict[str, Any] = {
        "train_batch_size": config.global_batch_sequences,
        "train_micro_batch_size_per_gpu": config.micro_batch_sequences,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": config.optimizer.clip_gradient_norm,
        "steps_per_print": 2**62,
        "bf16": {"enabled": config.precision == "bf16"},
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": config.zero_stage,
            "overlap_comm": torch.cuda.is_available(),
            "contiguous_gradients": True,
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            # 0: every parameter is in exactly one partition, which is what a checkpoint holds.
            "stage3_param_persistence_threshold": 0,
        },
    }
    if config.precision == "bf16" and accumulation > 1 and config.zero_stage > 0:
        settings["data_types"] = {"grad_accum_dtype": "fp32"}  # bf16 loses small addends
    return settings


def set_learning_rate(engine: Any, rate: float) -> None:
    for group in engine.basic_optimizer.param_groups:
        group["lr"] = rate


def read_state(engine: Any, rank: int) -> dict[str, torch.Tensor]:
    """Every tensor this rank needs to go on; parameters that all ranks share are rank 0's."""
    tensors = _parameters(engine) if rank == 0 or engine.zero_optimization_stage() == 3 else {}
    known = {tensor.data_ptr() for tensor in tensors.values()}
    for number, master in enumerate(_masters(engine)):
        if master.data_ptr() not in known:  # in fp32 without ZeRO the parameter is its own master
            tensors[f"master.{number}"] = master.data
        for name, value in engine.basic_optimizer.state[master].items():
            tensors[f"{name}.{number}"] = torch.as_tensor(value)
    return tensors


def write_state(engine: Any, own: dict[str, torch.Tensor], shared: dict[str, torch.Tensor]) -> None:
    """Put back what read_state gave. own: this rank's; shared: rank 0's."""
    saved = own if engine.zero_optimization_stage() == 3 else shared
    for name, target in _parameters(engine).items():
        target.copy_(saved[name])
    for number, master in enumerate(_masters(engine)):
        if f"master.{number}" in own:
            master.data.copy_(own[f"master.{number}"])
        suffix = f".{number}"
        engine.basic_optimizer.state[master] = {
            key.removesuffix(suffix): value.to(master.device if key[:4] != "step" else "cpu")
            for key, value in own.items()
            if key.endswith(suffix) and not key.startswith(("master.", "parameter."))
        }


def full_weights(engine: Any) -> dict[str, torch.Tensor]:
    """All parameters on the CPU, by name. Every rank must call it (ZeRO 3 gathers)."""
    gather: Callable[..., Any] = deepspeed.zero.GatheredParameters
    weights = {}
    for name, parameter in engine.module.named_parameters():
        if engine.zero_optimization_stage() == 3:
            with gather([parameter]):
                weights[name] = parameter.detach().cpu().clone()
        else:
            weights[name] = parameter.detach().cpu().clone()
    return weights


def gradient_norm(engine: Any) -> float:
    """Global gradient norm before clipping; call between backward and step for plain fp32."""
    if engine.optimizer is engine.basic_optimizer:
        gradients = [p.grad for p in engine.module.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))
    return float(engine.get_global_grad_norm())


def _adamw(model: Any, config: PretrainSettings) -> torch.optim.AdamW:
    settings = config.optimizer
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=settings.epsilon, fused=True)


def _masters(engine: Any) -> list[torch.Tensor]:
    if engine.zero_optimization_stage() == 3:
        return list(engine.optimizer.fp32_partitioned_groups_flat)
    return [tensor for group in engine.basic_optimizer.param_groups for tensor in group["params"]]


def _parameters(engine: Any) -> dict[str, torch.Tensor]:
    sharded = engine.zero_optimization_stage() == 3
    return {
        f"parameter.{name}": (parameter.ds_tensor if sharded else parameter).data
        for name, parameter in engine.module.named_parameters()
    }
