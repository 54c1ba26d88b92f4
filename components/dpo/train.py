"""Preference tuning with TRL; the reference is the start, asked once before the first step."""

import tempfile
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from components.dpo.pairs import Pair
from components.dpo.settings import DpoSettings
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


class PairTrainer(Resumable, DPOTrainer):
    """TRL's trainer on pairs that come as token ids, without a second model in memory."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset  # encoded already: see pairs.py

    def _precompute_ref_logps(self, dataset: Dataset, _name: str, _batch_size: int) -> Dataset:
        """TRL's own keeps them in a cache on the disk, found by a pickle's hash."""
        logps = self.log_probabilities(dataset)
        return dataset.add_column("ref_chosen_logps", logps[:, 0].tolist()).add_column(
            "ref_rejected_logps", logps[:, 1].tolist()
        )

    @torch.no_grad()
    def log_probabilities(self, pairs: Dataset) -> torch.Tensor:
        """(pairs, 2): of the chosen and the rejected answer as the model is now, dropout aside."""
        was_training, size, found = self.model.training, self.args.per_device_eval_batch_size, []
        self.model.eval()
        for start in range(0, len(pairs), size):
            batch = [pairs[place] for place in range(start, min(start + size, len(pairs)))]
            inputs = self._prepare_inputs(self.data_collator(batch))
            learnt = inputs["completion_mask"] == 1
            with self.compute_loss_context_manager():
                scores = self.model(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    labels=inputs["input_ids"].masked_fill(~learnt, -100),
                    use_cache=False,
                    fused_lm_head=True,
                ).log_probs
            found.append(torch.stack(scores.float().sum(dim=1).chunk(2), dim=1).cpu())
        self.model.train(was_training)
        return torch.cat(found)


def tune(
    config: DpoSettings,
    places: Places,
    tokenizer: PreTrainedTokenizerFast,
    pairs: tuple[list[Pair], list[Pair]],
) -> tuple[Result, dict[str, Any]]:
    """Train on pairs[0], measure on pairs[1], write the model; returns what happened and what was measured."""
    training, held_out = (_dataset(part) for part in pairs)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    with tempfile.TemporaryDirectory() as scratch:
        trainer = PairTrainer(
            model=load_start(config, places),
            args=_arguments(config, scratch),
            train_dataset=training,
            processing_class=tokenizer,
        )
        reference = trainer.log_probabilities(held_out) if len(held_out) else None
        rows = train(trainer, config, places)
        measured: dict[str, Any] = {"loss": _ends([row["loss"] for row in rows if "loss" in row])}
        if reference is not None:
            measured["held_out"] = preferred(reference, trainer.log_probabilities(held_out), config.beta)
    samples = [[*one.prompt_ids.tolist(), *one.chosen_ids.tolist()] for one in pairs[0][:4]]
    return write_model(trainer, config, places, tokenizer, samples), measured


def preferred(before: torch.Tensor, after: torch.Tensor, beta: float) -> dict[str, dict[str, float]]:
    """How far the chosen answer is preferred, from log-probabilities (pairs, 2).

    accuracy: share of pairs whose chosen answer is the likelier one. log_probability_gap: by how much, on the mean.
    reward_accuracy, reward_margin: the same of beta times what each answer gained on the reference.
    """
    told = {}
    for name, logps in (("before", before), ("after", after)):
        gap = (logps[:, 0] - logps[:, 1]).double()
        told[name] = {"accuracy": _mean(gap > 0), "log_probability_gap": _mean(gap)}
    reward = beta * ((after - before)[:, 0] - (after - before)[:, 1]).double()
    told["after"] |= {"reward_accuracy": _mean(reward > 0), "reward_margin": _mean(reward)}
    return told


def _mean(values: torch.Tensor) -> float:
    return round(float(values.double().mean()), 6)


def _ends(losses: list[float]) -> dict[str, float]:
    return {"first": losses[0], "last": losses[-1]}


def _dataset(pairs: list[Pair]) -> Dataset:
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    return Dataset.from_list([{name: getattr(one, name) for name in names} for one in pairs])


def _arguments(config: DpoSettings, scratch: str) -> DPOConfig:
    arguments = DPOConfig(
        **trainer_arguments(config, scratch),
        per_device_train_batch_size=config.micro_batch_size,
        per_device_eval_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.batch_size // config.micro_batch_size,
        beta=config.beta,
        loss_type=[config.loss],
        label_smoothing=config.label_smoothing,
        precompute_ref_log_probs=True,
        disable_dropout=False,  # log_probabilities leaves it out; in training it is a setting of LoRA
        max_length=None,
    )
    return on_one_device(arguments)
