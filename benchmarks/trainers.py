"""Contenders of the training benchmark; `python -m benchmarks.trainers NAME OPTIONS` is one of them.

All train the same Llama shape from the same random weights on the same sequences in the same order, by AdamW
with the same constants. A turn is so many optimizer steps; its counts say seconds of the steps alone, tokens, and
the mean loss. No DeepSpeed, no network, no installed kajiya: PYTHONPATH is enough.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.contender import Ready, serve
from components.pretrain.batches import Batches
from components.pretrain.settings import PretrainSettings
from kajiya.lm.model import fresh_model, llama_config
from kajiya.lm.packing import TokenDataset

RATE = 3e-4
PROFILED = 8


def write_tokens(folder: Path, vocabulary: int, tokens: int) -> None:
    """A tokens folder whose next token can be guessed: a step of 1 to 3 upwards, modulo the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = np.random.default_rng(0).integers(1, 4, tokens)
    ids = (np.cumsum(steps) % vocabulary).astype(np.uint16)
    for split, part in (("train", ids), ("validation", ids[: tokens // 20])):
        np.save(folder / f"{split}.npy", part)
        starts = np.arange(0, len(part), 700)
        spans = {
            "start": starts,
            "end": np.append(starts[1:], len(part)),
            "document_id": [f"d{start}" for start in starts],
            "source": ["even" if start % 1400 else "odd" for start in starts],
        }
        pq.write_table(pa.table(spans), folder / f"{split}.spans.parquet")
    facts = {"vocabulary_size": vocabulary, "end_of_sequence": 0}
    (folder / "tokens.json").write_text(json.dumps(facts))


def prepare_ours(
    tokens: str, work: str, settings: dict[str, Any], steps: int, profile: bool = False
) -> Ready:
    """The training loop of the stage as it stands, one rank; without its checkpoints."""
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    from components.pretrain import training  # noqa: PLC0415 - one contender, one import
    from components.pretrain.rank import _prepare_torch  # noqa: PLC0415
    from components.pretrain.watchdog import Heart  # noqa: PLC0415

    _prepare_torch()
    folder = Path(work)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer").mkdir(exist_ok=True)
    pieces = {"model": {"vocab": {"<s>": 0}}, "added_tokens": []}
    (folder / "tokenizer" / "tokenizer.json").write_text(json.dumps(pieces))
    (folder / "tokenizer" / "tokenizer_config.json").write_text("{}")
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, store=torch.distributed.HashStore(), rank=0, world_size=1)
    paths = {name: str(folder / name) for name in ("tokenizer", "out", "work", "pages")}
    job = {"config": settings, "steps": 1_000_000, "tokens": tokens, "base": None, **paths}
    trained = training.Training(job, _Notice(), Heart(folder / "beat"))
    trained.monitor.resume([])
    config = trained.config
    per_step = config.global_batch_sequences * config.model.context

    def step() -> float:
        row = trained._train_step()
        trained.meter.add(per_step)
        return row["loss"]

    return _ready(step, steps, per_step, f"kajiya, {config.precision}, compile {config.compile}", profile)


def prepare_plain(
    tokens: str, work: str, settings: dict[str, Any], steps: int, profile: bool = False
) -> Ready:
    """A plain loop as in nanoGPT: autocast over fp32 weights, torch.compile, all logits, fused AdamW."""
    del work
    config = PretrainSettings.model_validate(settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, batches = _model(config, tokens).to(device), _batches(config, tokens)
    compiled = torch.compile(model) if config.compile else model
    weights = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in weights if p.dim() > 1], "weight_decay": 0.1},
            {"params": [p for p in weights if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=RATE, betas=(0.9, 0.95), fused=True,
    )  # fmt: skip
    accumulation = config.global_batch_sequences // config.micro_batch_sequences
    count = iter(range(1_000_000))

    def step() -> float:
        total = 0.0
        for _, ids in batches.micro_batches(next(count), 0, 1):
            rows = ids.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                logits = compiled(input_ids=rows[:, :-1], use_cache=False).logits
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())
            (loss / accumulation).backward()
            total = total + loss.detach() / accumulation
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(total)

    per_step = config.global_batch_sequences * config.model.context
    return _ready(step, steps, per_step, "plain loop: autocast, fused AdamW, all logits", profile)


def prepare_hf(tokens: str, work: str, settings: dict[str, Any], steps: int, weights: str = "fp32") -> Ready:
    """transformers' Trainer at its defaults, but for the constants of the optimizer and no logging.

    weights: bf16 holds the model itself in bf16 and needs no autocast: less memory and fewer casts than
    the documented `bf16=True`, but no fp32 masters, so small updates are rounded away.
    """
    from transformers import Trainer, TrainerCallback, TrainingArguments  # noqa: PLC0415

    config = PretrainSettings.model_validate(settings)
    batch = config.global_batch_sequences
    order = _Order(_batches(config, tokens), batch)
    arguments = TrainingArguments(
        output_dir=work, max_steps=steps + 1, per_device_train_batch_size=config.micro_batch_sequences,
        gradient_accumulation_steps=batch // config.micro_batch_sequences, learning_rate=RATE,
        lr_scheduler_type="constant", weight_decay=0.1, adam_beta2=0.95, max_grad_norm=1.0,
        bf16=config.precision == "bf16" and weights == "fp32", use_cpu=not torch.cuda.is_available(), report_to=[],
        save_strategy="no", logging_strategy="no", disable_tqdm=True, train_sampling_strategy="sequential",
        torch_compile=config.compile, gradient_checkpointing=config.activation_checkpointing,
    )  # fmt: skip
    clock = _clock(TrainerCallback)
    model = _model(config, tokens).to(getattr(torch, {"fp32": "float32", "bf16": "bfloat16"}[weights]))
    trainer = Trainer(model=model, args=arguments, train_dataset=order, callbacks=[clock])

    def work_() -> dict[str, Any]:
        clock.moments.clear()
        # The first step of a call makes its loader and is left out of the time.
        loss = trainer.train().training_loss
        order.first += (steps + 1) * batch
        cpu, wall = (clock.moments[-1][kind] - clock.moments[0][kind] for kind in (0, 1))
        return _counts(cpu, wall, steps * batch * config.model.context, loss)

    work_()
    told = "bf16 autocast over fp32 weights" if arguments.bf16 else f"{weights} weights"
    return Ready(work_, 0, f"transformers Trainer, {told}")


def prepare_loader(
    tokens: str, work: str, settings: dict[str, Any], steps: int, profile: bool = False
) -> Ready:
    """Batches alone: the order, the memory map, the tensors."""
    del work, profile
    config = PretrainSettings.model_validate(settings)
    batches = _batches(config, tokens)
    count = iter(range(100_000_000))

    def step() -> float:
        return float(sum(int(ids[0, 0]) for _, ids in batches.micro_batches(next(count), 0, 1)))

    return _ready(step, steps, config.global_batch_sequences * config.model.context, "Batches.micro_batches")


def _ready(step: Callable[[], float], steps: int, tokens: int, told: str, profile: bool = False) -> Ready:
    def work() -> dict[str, Any]:
        losses = [step()]  # not timed, as with the others
        _synchronize()
        began = time.process_time(), time.perf_counter()
        losses += [step() for _ in range(steps)]
        _synchronize()
        counts = _counts(
            time.process_time() - began[0],
            time.perf_counter() - began[1],
            steps * tokens,
            float(np.mean(losses)),
        )
        return counts | ({"profile": _profile(step)} if profile else {})

    work()  # compiles, and fills caches
    return Ready(work, 0, told)


def _counts(cpu: float, wall: float, tokens: int, loss: float) -> dict[str, Any]:
    memory = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None
    return {"cpu": cpu, "wall": wall, "tokens": tokens, "loss": loss, "gpu_memory_gb": memory}


def _profile(step: Callable[[], float]) -> list[tuple[str, float]]:
    """Operators with the most time of their own on the device, and their share."""
    from torch.profiler import ProfilerActivity, profile  # noqa: PLC0415

    cuda = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        step()
    events = profiler.key_averages()
    own = {e.key: e.self_device_time_total if cuda else e.self_cpu_time_total for e in events}
    total = sum(own.values()) or 1.0
    return [(key[:60], round(own[key] / total, 3)) for key in sorted(own, key=lambda k: -own[k])[:PROFILED]]


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _model(config: PretrainSettings, tokens: str) -> Any:
    facts = json.loads((Path(tokens) / "tokens.json").read_text())
    model = fresh_model(llama_config(config.model, facts["vocabulary_size"], {}), config.seed)
    model.config.use_cache = False
    if config.activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def _batches(config: PretrainSettings, tokens: str) -> Batches:
    dataset = TokenDataset(Path(tokens), "train", config.model.context)
    return Batches(dataset, config.seed, config.global_batch_sequences, config.micro_batch_sequences)


class _Notice:
    came = False


class _Order(torch.utils.data.Dataset):
    """The sequences in the order in which ours are read. HF's models shift the labels themselves."""

    def __init__(self, batches: Batches, batch: int) -> None:
        self._batches, self._batch, self.first = batches, batch, 0

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        step, place = divmod(self.first + index, self._batch)
        number = self._batches.sequence_indices(step)[place]
        ids = torch.from_numpy(self._batches.dataset.sequence(int(number)))
        return {"input_ids": ids[:-1], "labels": ids[:-1]}


def _clock(base: type) -> Any:
    class Clock(base):  # type: ignore[misc]
        """When each step ended: (CPU seconds, wall seconds)."""

        def __init__(self) -> None:
            self.moments: list[tuple[float, float]] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            _synchronize()
            self.moments.append((time.process_time(), time.perf_counter()))

    return Clock()


PREPARE: dict[str, Callable[..., Ready]] = {
    "ours": prepare_ours,
    "hf": prepare_hf,
    "plain": prepare_plain,
    "loader": prepare_loader,
}

if __name__ == "__main__":
    serve(PREPARE)
