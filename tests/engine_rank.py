"""One of two ranks that try every ZeRO stage: `python engine_rank.py RANK FOLDER`. See test_pretrain_engine.py."""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig

PIECES, CONTEXT = 61, 16


def tiny_model(dtype: torch.dtype, tied: bool = False):
    from kajiya.lm.model import fresh_model

    config = LlamaConfig(
        vocab_size=PIECES, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=tied, initializer_range=0.2,
    )  # fmt: skip
    return fresh_model(config, seed=5).to(dtype)


def settings(**changes: object):
    from components.pretrain.settings import PretrainSettings

    return PretrainSettings.model_validate(
        {"global_batch_sequences": 8, "micro_batch_sequences": 2, "steps": 9, "precision": "fp32", **changes}
    )


def batch(step: int) -> torch.Tensor:
    return torch.randint(0, PIECES, (8, CONTEXT + 1), generator=torch.Generator().manual_seed(step))


def train_step(engine, step: int, discard: bool = False) -> float:
    for part in batch(step).view(-1, engine.ranks, 2, CONTEXT + 1)[:, engine.rank]:
        engine.micro_step(part)
    norm = engine.gradient_norm()
    if discard:
        engine.discard()
    else:
        engine.step(0.01)
    return norm


def owned(engine) -> dict[str, torch.Tensor]:
    return {f"{p.name}|{p.kind}|{p.offset}": p.tensor.detach().clone() for p in engine.slices() if p.owned}


def read_state(engine) -> dict[str, torch.Tensor]:
    """All slices that this rank holds, and the step count."""
    tensors = {f"{part.kind}.{part.offset}.{part.name}": part.tensor.clone() for part in engine.slices()}
    return tensors | {"optimizer_steps": torch.tensor(engine.optimizer_steps())}


def write_state(engine, saved: dict[str, torch.Tensor]) -> None:
    for part in engine.slices():
        part.tensor.copy_(saved[f"{part.kind}.{part.offset}.{part.name}"])
    engine.restore(int(saved["optimizer_steps"]))


def main() -> None:
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "DS_ACCELERATOR": "cpu"}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    from components.pretrain.engine import make_engine

    for name in sys.argv[3:]:
        stage, precision, *more = name.split("-")
        config = settings(
            ranks=2, zero_stage=int(stage), precision=precision, offload_optimizer="offload" in more
        )
        engine = make_engine(tiny_model(torch.float32, "tied" in more), config, end_of_sequence=0)
        save_file(owned(engine), folder / f"{name}.{rank}.before")
        train_step(engine, 0)
        kept = read_state(engine)
        norm = train_step(engine, 7, discard=True)
        train_step(engine, 1)
        after = {**owned(engine), "norm": torch.tensor(norm), "steps": torch.tensor(engine.optimizer_steps())}
        weights = engine.weights()
        for part in engine.slices():
            part.tensor.fill_(9.0)
        write_state(engine, kept)
        train_step(engine, 1)
        save_file({key: value.contiguous() for key, value in after.items()}, folder / f"{name}.{rank}")
        save_file(weights, folder / f"{name}.{rank}.weights")
        save_file(engine.weights(), folder / f"{name}.{rank}.again")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
