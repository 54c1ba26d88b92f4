"""One tuning from a model folder to a model folder, whatever it learns from."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerFast, set_seed
from transformers.trainer_callback import PrinterCallback

from kajiya.errors import KajiyaError
from kajiya.lm.model import load_model, make_readable, read_config
from kajiya.lm.tuning.adapters import add_lora, keep_updates_exact, merge, require_same_logits, save_adapter
from kajiya.lm.tuning.progress import Guard, Progress
from kajiya.lm.tuning.resumable import SaveEvery
from kajiya.lm.tuning.settings import TuningSettings
from kajiya.tracking import Tracker

_COMPARED = 4  # examples on which a merged model is compared with base and updates


class Places(NamedTuple):
    """Where one tuning reads and writes."""

    stage: str
    base: Path
    out: Path
    work: Path


class Result(NamedTuple):
    rows: list[dict[str, Any]]
    """All that the trainer logged."""
    steps: int
    parameters: dict[str, int]
    """all, trained."""
    merge_difference: float | None
    """Of the merged model's logits, see kajiya.lm.tuning.adapters; null without LoRA."""


def load_start(config: TuningSettings, places: Places) -> Any:
    """The model to tune: all its weights in fp32, or frozen with low-rank updates."""
    torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
    longest = read_config(places.base).max_position_embeddings
    if config.max_tokens > longest:
        raise KajiyaError(
            f"{places.stage}.max_tokens is {config.max_tokens}, the model in {places.base} was made for {longest}: "
            f"set it to {longest} at most, or pretrain with a longer context."
        )
    set_seed(config.seed)  # before LoRA's matrices are drawn; the trainer seeds only later
    precision = torch.bfloat16 if config.precision == "bf16" else torch.float32
    model = (
        add_lora(places.base, config.lora, precision)
        if config.lora
        else load_model(places.base, torch.float32)
    )
    model.config.use_cache = False
    return model


def trainer_arguments(config: TuningSettings, scratch: str) -> dict[str, Any]:
    """What every trainer is told; the batch sizes are the caller's."""
    on_cpu = not torch.cuda.is_available()
    return {
        "output_dir": scratch,
        "num_train_epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": config.warmup_share,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_gradient_norm,
        "bf16": config.precision == "bf16",
        "gradient_checkpointing": config.gradient_checkpointing,
        "logging_steps": config.log_every_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # a NaN is to be seen
        "save_strategy": "no",  # SaveEvery asks for checkpoints
        "report_to": "none",
        "disable_tqdm": True,
        "seed": config.seed,
        "data_seed": config.seed,
        "full_determinism": True,
        "use_cpu": on_cpu,
        "dataloader_pin_memory": not on_cpu,
    }


def on_one_device(arguments: Any) -> Any:
    """One process trains on one device: with several, the trainer would split the batch over threads."""
    if arguments.device.type == "cuda":
        arguments._n_gpu = 1
    return arguments


def train(trainer: Any, config: TuningSettings, places: Places) -> list[dict[str, Any]]:
    """Run or resume the trainer to the end; returns the rows that it logged."""
    tracker = Tracker(
        experiment="kajiya",
        name=f"{places.stage} {places.base.parent.name} {places.out.name}",
        parameters=_flat(config.model_dump(mode="json")),
        memory=places.work / "mlflow_run_id",
    )
    if config.lora and config.lora.base == "nf4":
        keep_updates_exact(trainer.model)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Guard(places.stage))
    trainer.add_callback(SaveEvery(config.save_every_steps))
    trainer.add_callback(Progress(places.stage, tracker))
    try:
        trainer.train_on(places.work / "checkpoints")
    except BaseException:
        tracker.finish("FAILED")
        raise
    tracker.finish()
    return list(trainer.state.log_history)


def write_model(
    trainer: Any,
    config: TuningSettings,
    places: Places,
    tokenizer: PreTrainedTokenizerFast,
    samples: list[list[int]],
) -> Result:
    """Write a plain model in the number format of the base, ready to generate.

    samples: token ids on which a merged model must say what base and updates say.
    """
    # Without the wrapper that computes in bf16: a merged model is compared by its weights.
    model, difference = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False), None
    trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
    if config.lora:
        tuned = merge(model, places.base)
        difference = require_same_logits(model, tuned, samples[:_COMPARED])
        if config.lora.keep_adapter:
            save_adapter(model, places.out / "adapter")
    else:
        tuned = model.to(read_config(places.base).dtype)
    tuned.config.use_cache = True
    tuned.generation_config.eos_token_id = tokenizer.eos_token_id
    tuned.generation_config.pad_token_id = tokenizer.pad_token_id
    tuned.save_pretrained(places.out)
    make_readable(places.out)
    parameters = {"all": sum(value.numel() for value in tuned.parameters()), "trained": trained}
    return Result(trainer.state.log_history, trainer.state.global_step, parameters, difference)


def chosen_rows(rows: list[dict[str, Any]], names: dict[str, str]) -> list[dict[str, Any]]:
    """Of what a trainer logged, the values that are the same on every run, under names of our own."""
    return [{new: row[old] for old, new in names.items() if old in row} for row in rows if "loss" in row]


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`, the form MLflow's parameters take."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        result |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result
