"""Tune with TRL; nothing is written but the model."""

import tempfile
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from components.sft.examples import Example
from components.sft.rows import Rows
from components.sft.settings import SftSettings
from kajiya.lm.tuning.resumable import Resumable
from kajiya.lm.tuning.run import (
    Places,
    Result,
    load_start,
    on_one_device,
    train,
    trainer_arguments,
    write_model,
)


class RowTrainer(Resumable, SFTTrainer):
    """TRL's trainer on batches that are whole optimizer steps, cut into micro-batches of rows."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """The mean loss over all tokens of the step that count; `num_items_in_batch` is what a batch says itself."""
        del num_items_in_batch
        losses = []
        for part in inputs["parts"]:
            losses.append(super().training_step(model, part, inputs["learnt"]))  # noqa: PERF401 - no super() inside
        return torch.stack(losses).sum()

    @torch.no_grad()
    def mean_loss(self, examples: Dataset) -> float:
        """Mean over all tokens that count."""
        self.model.eval()
        size, total, learnt = self.args.per_device_eval_batch_size, 0.0, 0
        for start in range(0, len(examples), size):
            step = self.data_collator(
                [examples[place] for place in range(start, min(start + size, len(examples)))]
            )
            for part in step["parts"]:
                with self.compute_loss_context_manager():
                    total += float(
                        self.compute_loss(self.model, self._prepare_inputs(part), num_items_in_batch=1)
                    )
            learnt += step["learnt"]
        self._metrics["eval"].clear()
        return total / learnt


def tune(
    config: SftSettings,
    places: Places,
    tokenizer: PreTrainedTokenizerFast,
    examples: tuple[list[Example], list[Example]],
) -> tuple[Result, dict[str, float]]:
    """Train on examples[0], measure on examples[1], write the model; returns what happened and the losses."""
    training, validation = (_dataset(part) for part in examples)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = RowTrainer(
            model=load_start(config, places),
            args=_arguments(config, scratch),
            train_dataset=training,
            data_collator=Rows(
                config.max_tokens, config.packing, config.micro_batch_size, _padding(tokenizer)
            ),
            processing_class=tokenizer,
        )
        before = trainer.mean_loss(validation) if len(validation) else None
        rows = train(trainer, config, places)
        after = trainer.mean_loss(validation) if len(validation) else None
    losses = [row["loss"] for row in rows if "loss" in row]
    loss = {"first": losses[0], "last": losses[-1]}
    if before is not None and after is not None:
        loss |= {"validation_before": round(before, 6), "validation_after": round(after, 6)}
    samples = [one.input_ids.tolist() for one in examples[0][:4]]
    return write_model(trainer, config, places, tokenizer, samples), loss


def _padding(tokenizer: PreTrainedTokenizerFast) -> int:
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _dataset(examples: list[Example]) -> Dataset:
    return Dataset.from_list([{"input_ids": one.input_ids, "labels": one.labels} for one in examples])


def _arguments(config: SftSettings, scratch: str) -> SFTConfig:
    arguments = SFTConfig(
        **trainer_arguments(config, scratch),
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        dataset_kwargs={"skip_prepare_dataset": True},  # ids and labels come ready: see examples.py
        max_length=None,
    )
    return on_one_device(arguments)
