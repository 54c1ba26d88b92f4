"""The training loop of one rank."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from tqdm import tqdm

from components.pretrain.batches import Batches, ValidationSet
from components.pretrain.engine import make_engine, read_state, write_state
from components.pretrain.schedule import learning_rate
from components.pretrain.settings import PretrainSettings
from components.pretrain.validation import validate
from components.pretrain.vocabulary import read_special_ids
from kajiya.errors import KajiyaError
from kajiya.lm import checkpoint
from kajiya.lm.model import fresh_model, llama_config, load_model, save_model
from kajiya.lm.packing import TokenDataset
from kajiya.shards import write_file
from kajiya.tracking import Tracker

KEPT_CHECKPOINTS = 2


def train(job: dict[str, Any]) -> None:
    """Train from the newest checkpoint, or from the start, to the end; rank 0 writes the model."""
    training = Training(job)
    training.resume()
    training.loop()
    training.write_model()


class Training:
    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.config = PretrainSettings.model_validate(job["config"])
        self.steps: int = job["steps"]
        self.rank = torch.distributed.get_rank()
        self.ranks = torch.distributed.get_world_size()
        self.work = Path(job["work"])
        self.checkpoints = self.work / "checkpoints"
        config, tokens = self.config, Path(job["tokens"])
        dataset = TokenDataset(tokens, "train", config.model.context)
        self.batches = Batches(
            dataset, config.seed, config.global_batch_sequences, config.micro_batch_sequences
        )
        self.validation = ValidationSet(
            tokens, config.model.context, config.validation_sequences, config.seed
        )
        model = self._model(dataset.facts["vocabulary_size"])
        self.engine = make_engine(model, config, dataset.facts["end_of_sequence"])
        self.step = 0
        self.rows: list[dict[str, float]] = []

    def _model(self, vocabulary_size: int) -> Any:
        dtype = torch.bfloat16 if self.config.precision == "bf16" else torch.float32
        if self.job["base"]:
            model = load_model(Path(self.job["base"]), dtype)
            longest = model.config.max_position_embeddings
            if longest < self.config.model.context:
                raise KajiyaError(
                    f"pretrain.model.context is {self.config.model.context}, but the base model "
                    f"{self.job['base']} knows {longest} positions. Lower the context."
                )
        else:
            special_ids = read_special_ids(Path(self.job["tokenizer"]))
            model = fresh_model(
                llama_config(self.config.model, vocabulary_size, special_ids), self.config.seed
            )
            model = model.to(dtype)
        model.config.use_cache = False
        if self.config.activation_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return model

    def resume(self) -> None:
        """Take up the newest checkpoint whose checksums hold, on every rank the same one."""
        found = checkpoint.newest_good(self.checkpoints) if self.rank == 0 else None
        # A tensor: the collectives for objects would unpickle what comes over the network.
        agreed = torch.tensor([found or 0], device=self.engine.device)
        torch.distributed.broadcast(agreed, src=0)
        self.step = int(agreed)
        if self.step == 0:
            return
        write_state(self.engine, checkpoint.read_part(self.checkpoints, self.step, part_name(self.rank)))
        lines = (checkpoint.step_folder(self.checkpoints, self.step) / "metrics.jsonl").read_text()
        self.rows = [json.loads(line) for line in lines.splitlines()]
        if self.rank == 0:
            tqdm.write(f"continuing at step {self.step} of {self.steps}", file=sys.stderr)

    def loop(self) -> None:
        tracker = Tracker(
            experiment="kajiya",
            name=f"pretrain {Path(self.job['tokens']).parent.name}",
            parameters={"steps": self.steps, **flat(self.job["config"])},
            memory=self.work / "mlflow_run_id",
        )
        tracker.enabled = tracker.enabled and self.rank == 0
        try:
            self._train_to_the_end(tracker)
        except Exception:
            tracker.finish("FAILED")
            raise
        tracker.finish()

    def _train_to_the_end(self, tracker: Tracker) -> None:
        config = self.config
        tokens_per_step = config.global_batch_sequences * config.model.context
        bar = tqdm(
            desc="pretrain", total=self.steps * tokens_per_step, initial=self.step * tokens_per_step,
            unit="tok", unit_scale=True, dynamic_ncols=True, disable=self.rank != 0,
            mininterval=0.5 if sys.stderr.isatty() else 10,  # a log wants lines, not an animation
        )  # fmt: skip
        while self.step < self.steps:
            row = self._train_step()
            bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
            bar.update(tokens_per_step)
            self._record(row, tracker, bar.format_dict["rate"])
            if self.step % config.save_every_steps == 0:
                self._save()
        bar.close()

    def _train_step(self) -> dict[str, float]:
        config = self.config
        rate = learning_rate(config.schedule, config.optimizer.peak_learning_rate, self.step, self.steps)
        losses = [
            self.engine.micro_step(tokens.to(self.engine.device)).mean()
            for tokens in self.batches.micro_batches(self.step, self.rank, self.ranks)
        ]
        mean = torch.stack(losses).mean()
        torch.distributed.all_reduce(mean)
        value = float(mean) / self.ranks
        norm = self.engine.gradient_norm()
        self.step += 1
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise KajiyaError(
                f"pretrain: loss {value} and gradient norm {norm} at step {self.step} (learning rate {rate:.2e}). "
                "The training diverged: lower pretrain.optimizer.peak_learning_rate, lengthen the warmup, "
                "or look at the data of this step. The checkpoints before it are kept."
            )
        self.engine.step(rate)
        tokens_seen = self.step * config.global_batch_sequences * config.model.context
        return {"step": self.step, "tokens": tokens_seen, "loss": value, "lr": rate, "grad_norm": norm}

    def _record(self, row: dict[str, float], tracker: Tracker, tokens_per_second: float | None) -> None:
        last = self.step == self.steps
        if last or self.step % self.config.validate_every_steps == 0:
            losses = validate(self.engine, self.validation, self.config.micro_batch_sequences)
            row |= {f"validation_loss{'/' * bool(name)}{name}": value for name, value in losses.items()}
        elif self.step % self.config.log_every_steps:
            return
        self.rows.append(row)
        values = {key: float(value) for key, value in row.items() if key != "step"}
        if tokens_per_second:
            values["tokens_per_second"] = float(tokens_per_second)
        tracker.log(self.step, values)

    def _save(self) -> None:
        state = read_state(self.engine)
        own = checkpoint.write_part(self.checkpoints, self.step, part_name(self.rank), state)
        sums = self._gather_checksums(own)
        if self.rank == 0:
            metrics = checkpoint.partial_folder(self.checkpoints, self.step) / "metrics.jsonl"
            write_file(metrics, self._metrics())
            checksums = {**sums, metrics.name: checkpoint.checksum(metrics)}
            facts = {"ranks": self.ranks, "zero_stage": self.config.zero_stage}
            checkpoint.publish(self.checkpoints, self.step, checksums, facts, KEPT_CHECKPOINTS)
        torch.distributed.barrier()

    def _gather_checksums(self, own: str) -> dict[str, str]:
        """The checksum of every rank's part, by file name. As bytes: nothing is unpickled."""
        mine = torch.tensor(list(bytes.fromhex(own)), dtype=torch.uint8, device=self.engine.device)
        sums = [torch.empty_like(mine) for _ in range(self.ranks)]
        torch.distributed.all_gather(sums, mine)
        return {part_name(rank): bytes(part.tolist()).hex() for rank, part in enumerate(sums)}

    def _metrics(self) -> str:
        return "".join(json.dumps(row) + "\n" for row in self.rows)

    def write_model(self) -> None:
        weights = self.engine.weights()
        if self.rank:
            return
        out = Path(self.job["out"])
        parameters = sum(tensor.numel() for tensor in weights.values())  # saving empties `weights`
        save_model(self.engine.model, weights, Path(self.job["tokenizer"]), out)
        write_file(out / "metrics.jsonl", self._metrics())
        last = self.rows[-1]
        figures = {
            "parameters": parameters,
            "steps": self.steps,
            "tokens_seen": last["tokens"],
            "epochs": self.steps * self.batches.batch / len(self.batches.dataset),
            "train_loss": last["loss"],
            **{key: value for key, value in last.items() if key.startswith("validation_loss")},
        }
        write_file(self.work / "figures.json", json.dumps(figures))


def part_name(rank: int) -> str:
    return f"rank-{rank}.safetensors"


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`, the form MLflow's parameters take."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result
