"""The training loop of one rank."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

import torch
import torch.distributed
from tqdm import tqdm

from components.pretrain import samples
from components.pretrain.batches import ValidationSet
from components.pretrain.engine import make_engine
from components.pretrain.guards import Alarm, RewindNeeded
from components.pretrain.history import History
from components.pretrain.monitor import Monitor, make_batches
from components.pretrain.schedule import learning_rate
from components.pretrain.settings import PretrainSettings
from components.pretrain.source_losses import LabelSources, means
from components.pretrain.state import State
from components.pretrain.throughput import Meter, append_line
from components.pretrain.validation import validate
from components.pretrain.vocabulary import read_special_ids
from components.pretrain.watchdog import following
from kajiya.errors import KajiyaError, PassingError
from kajiya.lm.base import load_base
from kajiya.lm.model import fresh_model, llama_config, save_model
from kajiya.lm.packing import TokenDataset
from kajiya.shards import write_file
from kajiya.tracking import Tracker


class Notice(Protocol):
    """Whether this rank was told to stop."""

    came: bool


class Heart(Protocol):
    """Told what begins and that it gets on: watchdog.Heart, or a measuring program's clock."""

    def start(self, step: int) -> None: ...
    def beat(self, doing: str, step: int) -> None: ...
    def pulse(self) -> None: ...


def train(job: dict[str, Any], notice: Notice, heart: Heart) -> None:
    """Train from the newest checkpoint, or from the start, to the end; rank 0 writes the model."""
    heart.beat("load", 0)
    training = Training(job, notice, heart)
    training.state.resume()
    training.monitor.resume(training.state.progress.rows)
    heart.start(training.state.progress.step)
    tracker = training.tracker()
    try:
        training.loop(tracker)
        training.finish()
    except Exception as error:
        if isinstance(error, RewindNeeded):
            training.state.rewind(error.alarm)
        tracker.finish("FAILED")
        raise
    tracker.finish()


class Training:
    def __init__(self, job: dict[str, Any], notice: Notice, heart: Heart) -> None:
        self.job = job
        self.notice = notice
        self.heart = heart
        self.config = PretrainSettings.model_validate(job["config"])
        self.steps: int = job["steps"]
        self.rank = torch.distributed.get_rank()
        self.ranks = torch.distributed.get_world_size()
        self.work = Path(job["work"])
        config, tokens = self.config, Path(job["tokens"])
        dataset = TokenDataset(tokens, "train", config.model.context)
        self.batches = make_batches(config, dataset)
        self.monitor = Monitor(job, config, self.batches)
        self.validation = ValidationSet(
            tokens, config.model.context, config.validation_sequences, config.seed
        )
        model = self._model(dataset.facts["vocabulary_size"])
        self.engine = make_engine(model, config, dataset.facts["end_of_sequence"])
        self.sources = LabelSources(dataset)
        self.meter = Meter(
            model.config, config.model.context, self.engine.device, self.ranks, config.precision
        )
        self.state = State(self.engine, config, self.work, History(Path(job["pages"])), heart.pulse)
        self.stopping = False

    def _model(self, vocabulary_size: int) -> Any:
        """In the precision its weights are known in: the engine rounds them once it has the fp32 masters."""
        if self.job["base"]:
            model = load_base(Path(self.job["base"]), Path(self.job["tokenizer"]))
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
        model.config.use_cache = False
        if self.config.activation_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return model

    def tracker(self) -> Tracker:
        tracker = Tracker(
            experiment="kajiya",
            name=f"pretrain {Path(self.job['tokens']).parent.name}",
            parameters={"steps": self.steps, **flat(self.job["config"])},
            memory=self.work / "mlflow_run_id",
        )
        tracker.enabled = tracker.enabled and self.rank == 0
        return tracker

    def loop(self, tracker: Tracker) -> None:
        tokens_per_step = self.config.global_batch_sequences * self.config.model.context
        progress, every = self.state.progress, self.config.save_every_steps
        bar = tqdm(
            desc="pretrain", total=self.steps * tokens_per_step, initial=progress.step * tokens_per_step,
            unit="tok", unit_scale=True, dynamic_ncols=True, disable=self.rank != 0,
            mininterval=0.5 if sys.stderr.isatty() else 10,  # a log wants lines, not an animation
        )  # fmt: skip
        self._require_leave_to_go_on()
        if progress.step == 0 and self.monitor.is_due(0):
            self._record({"step": 0, "tokens": 0}, tracker)
        self.meter.start()
        while progress.step < self.steps:
            row = self._train_step()
            if "loss" in row:
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
            bar.update(tokens_per_step)
            self._record(row, tracker)
            self.state.writer.check()
            if progress.step == self.steps or progress.step % every == 0 or self.stopping:
                self.heart.beat("save", progress.step)
                self.state.save()
            if self.stopping and progress.step < self.steps:
                self._stop()
        bar.close()

    def _train_step(self) -> dict[str, float]:
        """One step of the plan; the row has no loss when its update was not applied."""
        config, progress = self.config, self.state.progress
        step = progress.step + 1
        rate = learning_rate(config.schedule, config.optimizer.peak_learning_rate, progress.step, self.steps)
        row: dict[str, float] = {"step": step, "tokens": step * self.batches.batch * config.model.context}
        progress.step = step
        if progress.guard.leaves_out(step):
            return row
        means_of_parts, by_source = [], []
        load = partial(self.batches.micro_batches, step - 1, self.rank, self.ranks)
        for sequences, ids in self.meter.wait(load):
            tokens = ids.to(self.engine.device)
            self.state.fed.add(step, sequences, tokens)
            self.heart.beat("forward and backward", step - 1)
            losses = self.engine.micro_step(tokens)
            means_of_parts.append(losses.mean())
            if step % config.log_every_steps == 0:
                by_source.append(self.sources.sums(sequences, losses))
        self.meter.add(self.batches.batch * config.model.context)
        loss = self._agree(torch.stack(means_of_parts).mean())
        self.heart.beat("gradient norm", step - 1)
        norm = self.engine.gradient_norm()
        if alarm := progress.guard.judge(step, loss, norm):
            self._heed(alarm)
            return row
        self.engine.step(rate)
        progress.guard.applied(loss)
        row |= {"loss": loss, "lr": rate, "grad_norm": norm}
        if by_source:
            row |= means(sum(by_source), self.sources.names, self.engine.device)
        return row

    def _agree(self, loss: torch.Tensor) -> float:
        """The mean loss over the ranks; with it goes whether any of them was told to stop."""
        told = torch.tensor(float(self.notice.came), dtype=loss.dtype, device=loss.device)
        sums = torch.stack([loss, told])
        torch.distributed.all_reduce(sums)
        total, stops = sums.tolist()
        self.stopping = stops > 0
        return float(total) / self.ranks

    def _heed(self, alarm: Alarm) -> None:
        """Do what the policy says: the update of this step is not applied."""
        if alarm.action == "rewind":
            raise RewindNeeded(alarm)
        self.engine.discard()
        self.state.progress.guard.skip(alarm)
        if self.rank == 0:
            self.state.history.add("skip", step=alarm.step, reason=alarm.kind, detail=alarm.detail)
            tqdm.write(f"warning: {alarm.detail}: its update is skipped", file=sys.stderr)

    def _require_leave_to_go_on(self) -> None:
        """End before the first step where the notice came while all was loaded."""
        self._agree(torch.zeros((), device=self.engine.device))
        if self.stopping:
            self._stop()

    def _stop(self) -> NoReturn:
        self.state.writer.wait()
        raise PassingError(
            f"told to stop: the training is saved at step {self.state.progress.step} of {self.steps}. Run again to go on."
        )

    def _record(self, row: dict[str, float], tracker: Tracker) -> None:
        step = self.state.progress.step
        measured = self._measure(step)
        if not measured and (step % self.config.log_every_steps or "loss" not in row):
            return
        row |= measured
        self.state.progress.rows.append(row)
        speed = self.meter.read()
        if self.rank == 0 and step:
            append_line(Path(self.job["pages"]), {"step": step, "ranks": self.ranks, **speed})
        values = {key: float(value) for key, value in row.items() if key != "step"}
        tracker.log(step, values | speed)

    def _measure(self, step: int) -> dict[str, float]:
        """What validation and the forgetting monitor find after `step`, where it is their turn."""
        validates = step > 0 and (step == self.steps or step % self.config.validate_every_steps == 0)
        losses, row = {}, {}
        if validates or self.monitor.needs_validation(step):
            self.heart.beat("validate", step)
            losses = validate(self.engine, self.validation, self.config.micro_batch_sequences)
        if validates:
            row = {f"validation_loss{'/' * bool(name)}{name}": value for name, value in losses.items()}
        if self.monitor.is_due(step):
            beat = partial(self.heart.beat, "measure what is forgotten", step)
            row |= self.monitor.watch(self.engine, step, losses, beat)
        return row

    def finish(self) -> None:
        """Write the model, and prove what it was trained on."""
        self.heart.beat("write the model", self.steps)
        weights = self.engine.weights(wanted=self.rank == 0)
        if self.rank:
            self.state.writer.wait()
            return
        out, progress = Path(self.job["out"]), self.state.progress
        parameters = sum(tensor.numel() for tensor in weights.values())  # saving empties `weights`
        with following(out, self.heart.pulse):
            save_model(self.engine.model, weights, Path(self.job["tokenizer"]), out)
        write_file(out / "metrics.jsonl", progress.metrics())
        self.state.writer.wait()
        self.heart.beat("check the samples", self.steps)
        seen = self._check_samples(out)
        figures = {
            "parameters": parameters,
            "steps": self.steps,
            "tokens_seen": seen.get(samples.TRAINED, 0) * self.config.model.context,
            **last_figures(progress.rows),
            "epochs": self.steps * self.batches.batch / len(self.batches.dataset),
            "samples": seen,
            "rewinds": progress.guard.rewinds,
            **self.monitor.figures(progress.rows),
        }
        write_file(self.work / "figures.json", json.dumps(figures, sort_keys=True))

    def _check_samples(self, out: Path) -> dict[str, Any]:
        states = self.state.progress.guard.states()
        tables = samples.check(self.state.sample_files(), self.batches, self.steps, states, self.heart.pulse)
        return samples.write_table(tables, out / "samples.parquet")


def last_figures(rows: list[dict[str, float]]) -> dict[str, float]:
    """The last training loss, and the validation losses of the last row."""
    losses = [row["loss"] for row in rows if "loss" in row]
    figures = {"train_loss": losses[-1]} if losses else {}
    return figures | {key: value for key, value in rows[-1].items() if key.startswith("validation_loss")}


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`, the form MLflow's parameters take."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result
