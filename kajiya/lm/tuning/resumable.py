"""Checkpoints of transformers' and TRL's trainers as safetensors and JSON, resumed at the exact step.

The trainers' own checkpoints are pickles, which can run code when they are read, and appear file by
file. Here one folder per step appears whole, with checksums (kajiya.lm.checkpoint):

    step-00000200/state.safetensors    trained weights, optimizer state, random state of torch
                  trainer_state.json   step, epoch, rows logged so far
                  optimizer.json       learning rates and the schedule's place

The order of the records is drawn anew per epoch from seed and epoch alone, and the trainer passes the
steps done before, so a resumed run computes what the undisturbed one would have: on the CPU the same
bytes. Every step saved is logged too, so that no half-filled mean of the loss is lost.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import TrainerCallback

from kajiya.errors import KajiyaError
from kajiya.lm import checkpoint
from kajiya.shards import write_file

RETENTION = checkpoint.Retention(last=2, regular_steps=1)
_STATE, _TRAINER, _OPTIMIZER = "state.safetensors", "trainer_state.json", "optimizer.json"


class SaveEvery(TrainerCallback):
    """Asks for a checkpoint, and for the metrics, every so many steps; of the last step for the metrics alone."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, _arguments: Any, state: Any, control: Any, **_: Any) -> Any:
        last = state.global_step == state.max_steps
        if last or state.global_step % self.steps == 0:
            control.should_log = True
            control.should_save = not last
        return control


class Resumable:
    """Mixed in before a Trainer: `train_on(checkpoints)` instead of `train()`."""

    # What the Trainer provides.
    model: Any
    optimizer: Any
    lr_scheduler: Any
    state: Any
    checkpoints: Path

    def train_on(self, checkpoints: Path) -> None:
        """Train to the end, from the newest checkpoint in `checkpoints` whose checksums hold."""
        self.checkpoints = checkpoints
        step = checkpoint.newest_good(checkpoints)
        if step is None:
            self.train()  # type: ignore[attr-defined]
        else:
            tqdm.write(f"continuing at step {step}", file=sys.stderr)
            self.train(resume_from_checkpoint=str(checkpoint.step_folder(checkpoints, step)))  # type: ignore[attr-defined]

    def floating_point_ops(self, _inputs: Any) -> int:
        """Nobody reads the trainer's estimate, and it warns about batches of several parts."""
        return 0

    def _save_checkpoint(self, *_: Any) -> None:
        step = self.state.global_step
        folder = checkpoint.partial_folder(self.checkpoints, step)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            save_file(self._tensors(), folder / _STATE)
            self.state.save_to_json(str(folder / _TRAINER))
            write_file(folder / _OPTIMIZER, json.dumps(self._schedule()))
            sums = {path.name: checkpoint.checksum(path) for path in sorted(folder.iterdir())}
            checkpoint.publish(self.checkpoints, step, {"checksums": sums}, RETENTION)
        # safetensors reports a full disk in an exception of its own.
        except (OSError, SafetensorError) as error:
            raise KajiyaError(
                f"{folder}: the checkpoint of step {step} could not be written ({error}). Free some disk space and "
                "run again: tuning continues from the checkpoint before it."
            ) from error

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors: dict[str, torch.Tensor] = {
            f"weight/{name}": value for name, value in self._trained().items()
        }
        for place, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{place}/{key}": value for key, value in values.items()}
        tensors["random/cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random/cuda"] = torch.cuda.get_rng_state()
        return {key: value.detach().cpu().contiguous() for key, value in tensors.items()}

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    def _schedule(self) -> dict[str, Any]:
        rates = [group["lr"] for group in self.optimizer.state_dict()["param_groups"]]
        return {"learning_rates": rates, "scheduler": self.lr_scheduler.state_dict()}

    def _load_from_checkpoint(self, folder: str, *_: Any) -> None:
        saved = load_file(Path(folder) / _STATE)
        with torch.no_grad():
            for name, value in self._trained().items():
                value.copy_(saved[f"weight/{name}"])

    def _load_optimizer_and_scheduler(self, folder: str | None) -> None:
        if folder is None:
            return
        written = json.loads((Path(folder) / _OPTIMIZER).read_text())
        whole = self.optimizer.state_dict()
        for group, rate in zip(whole["param_groups"], written["learning_rates"], strict=True):
            group["lr"] = rate
        for name, value in load_file(Path(folder) / _STATE).items():
            kind, _, rest = name.partition("/")
            if kind == "optimizer":
                place, key = rest.split("/")
                whole["state"].setdefault(int(place), {})[key] = value
        self.optimizer.load_state_dict(whole)
        self.lr_scheduler.load_state_dict(written["scheduler"])

    def _load_rng_state(self, folder: str | None) -> None:
        if folder is None:
            return
        saved = load_file(Path(folder) / _STATE)
        torch.set_rng_state(saved["random/cpu"])
        if "random/cuda" in saved and torch.cuda.is_available():
            torch.cuda.set_rng_state(saved["random/cuda"])
