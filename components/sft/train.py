"""Tune with TRL; nothing is written but the model."""

import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedModel, PreTrainedTokenizerFast, set_seed
from trl import SFTConfig, SFTTrainer

from components.sft.examples import Example
from components.sft.settings import LoraSettings, SftSettings
from kajiya.errors import KajiyaError
from kajiya.lm.model import load_model, make_readable, read_config

# Of all that the trainer logs, what is the same on every run.
_METRICS = ("step", "epoch", "loss", "grad_norm", "learning_rate", "mean_token_accuracy", "eval_loss")


class Result(NamedTuple):
    metrics: list[dict[str, Any]]
    loss: dict[str, float]
    steps: int
    parameters: int
    trained_parameters: int


def tune(
    config: SftSettings,
    base: Path,
    tokenizer: PreTrainedTokenizerFast,
    examples: tuple[list[Example], list[Example]],
    out: Path,
) -> Result:
    """Train on examples[0], measure on examples[1], save the model into `out`."""
    torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
    set_seed(config.seed)  # before LoRA's matrices are drawn; the trainer seeds only later
    model = load_model(base, torch.float32)
    _require_context(model.config.max_position_embeddings, config.max_tokens, base)
    model.config.use_cache = False
    training, validation = (_dataset(part) for part in examples)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=model,
            args=_arguments(config, scratch),
            train_dataset=training,
            eval_dataset=validation if len(validation) else None,
            processing_class=tokenizer,
            peft_config=_lora(config.lora) if config.lora else None,
        )
        before = trainer.evaluate()["eval_loss"] if len(validation) else None
        trainer.train()
        after = trainer.evaluate()["eval_loss"] if len(validation) else None
    parameters = list(trainer.model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    tuned = trainer.model.merge_and_unload() if config.lora else trainer.model
    _save(tuned, base, tokenizer, out)
    history = [{key: one[key] for key in _METRICS if key in one} for one in trainer.state.log_history]
    losses = [one["loss"] for one in history if "loss" in one]
    loss = {"first": losses[0], "last": losses[-1]}
    if before is not None and after is not None:
        loss |= {"validation_before": round(before, 6), "validation_after": round(after, 6)}
    metrics = [one for one in history if "loss" in one or "eval_loss" in one]
    return Result(
        metrics, loss, trainer.state.global_step, sum(p.numel() for p in tuned.parameters()), trained
    )


def _require_context(context: int, max_tokens: int, base: Path) -> None:
    if max_tokens > context:
        raise KajiyaError(
            f"sft.max_tokens is {max_tokens}, the model in {base} was made for {context}: "
            f"set it to {context} at most, or pretrain with a longer context."
        )


def _dataset(examples: list[Example]) -> Dataset:
    return Dataset.from_list([{"input_ids": one.input_ids, "labels": one.labels} for one in examples])


def _arguments(config: SftSettings, scratch: str) -> SFTConfig:
    on_cpu = not torch.cuda.is_available()
    return SFTConfig(
        output_dir=scratch,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.micro_batch_size,
        per_device_eval_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.batch_size // config.micro_batch_size,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_share,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_gradient_norm,
        bf16=config.precision == "bf16",
        gradient_checkpointing=config.gradient_checkpointing,
        dataset_kwargs={"skip_prepare_dataset": True},  # ids and labels come ready: see examples.py
        max_length=None,
        logging_steps=config.log_every_steps,
        logging_first_step=True,
        save_strategy="no",  # the trainer's checkpoints are pickles; tuning starts again instead
        report_to="none",
        seed=config.seed,
        full_determinism=True,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
    )


def _lora(settings: LoraSettings) -> LoraConfig:
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _save(model: PreTrainedModel, base: Path, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Save in the number format of the base, ready to generate."""
    model.to(read_config(base).dtype)
    model.config.use_cache = True
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(out)
    make_readable(out)
