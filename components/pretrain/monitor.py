"""The forgetting monitor at work: measure, compare with the base, and do what the recipe says past a bound."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from components.pretrain import forgetting, replay
from components.pretrain.batches import Batches
from components.pretrain.engine import Engine
from components.pretrain.forgetting import Row
from components.pretrain.measures import Beat, Measures, no_beat
from components.pretrain.settings import PretrainSettings
from kajiya.errors import KajiyaError
from kajiya.lm.packing import TokenDataset


class Monitor:
    """Keeps no state but the base's values, which stand in the first of the rows, and the schedule of `batches`."""

    def __init__(self, job: dict[str, Any], config: PretrainSettings, batches: Batches) -> None:
        self._config = config
        self._measures: Measures | None = None
        self._batches = batches
        self._steps: int = job["steps"]
        self._base: dict[str, float] = {}
        if config.forgetting is not None:
            folders = (Path(job["evaluation_sets"]), Path(job["tokenizer"]))
            self._measures = Measures(config.forgetting, *folders, config.model.context, config.seed)

    def resume(self, rows: Sequence[Row]) -> None:
        """Take up base values and replay shares from the rows of a checkpoint; none: begin."""
        pools = self._batches.pools
        if pools is not None:
            self._batches.schedule = forgetting.shares(rows, replay.initial_share(self._config.replay, pools))
        if rows:
            self._base = forgetting.history(rows).get(0, {})

    def is_due(self, step: int) -> bool:
        return forgetting.is_due(self._config.forgetting, step, self._steps)

    def needs_validation(self, step: int) -> bool:
        """Whether `watch` wants the validation losses."""
        config = self._config.forgetting
        return config is not None and bool(config.sources) and self.is_due(step)

    def watch(
        self, engine: Engine, step: int, validation_losses: dict[str, float], beat: Beat = no_beat
    ) -> Row:
        """What the row of this step gains. Every rank must call it and gets the same.

        Raises KajiyaError past a bound where the recipe says so.
        """
        config = self._config.forgetting
        assert config is not None
        assert self._measures is not None
        now = self._measures.take(engine, self._config.micro_batch_sequences, validation_losses, beat)
        row = forgetting.as_row(now)
        if step == 0:
            self._base = now
        found = list(forgetting.breaches(config, self._base, now))
        if not found:
            return row
        what = f"forgetting at step {step}: {'; '.join(map(str, found))}"
        if config.on_bound == "stop":
            raise KajiyaError(_stopped(what))
        done = ""
        if config.on_bound == "raise_replay" and step < self._steps:
            row |= self._raise_share(step)
            done = _raised(row.get(forgetting.SHARE), self._batches.schedule[-1][1])
        if engine.rank == 0:
            tqdm.write(f"warning: {what}{done}", file=sys.stderr)
        return row

    def figures(self, rows: Sequence[Row]) -> dict[str, Any]:
        """For the stage's report."""
        config, pools = self._config, self._batches.pools
        figures: dict[str, Any] = {}
        if config.forgetting is not None:
            figures["forgetting"] = forgetting.report(config.forgetting, rows)
        if pools is not None:
            read = replay.taken(self._batches.schedule, self._batches.batch, self._steps)
            figures["replay"] = {
                "sequences": len(pools.replayed),
                "purity": round(pools.purity, 4),
                "share_read": round(read / (self._steps * self._batches.batch), 6),
                "epochs": {
                    name: round(value, 4)
                    for name, value in pools.epochs(read, self._steps * self._batches.batch).items()
                },
            }
        return figures

    def _raise_share(self, step: int) -> Row:
        config, batches = self._config.forgetting, self._batches
        assert config is not None
        assert batches.pools is not None
        share = batches.schedule[-1][1]
        unchanged = (*batches.schedule, (step, share))
        largest = replay.largest_share(
            batches.pools, unchanged, batches.batch, self._steps, self._config.max_epochs
        )
        raised = forgetting.raised_share(config, share, largest)
        if raised <= share:
            return {}
        batches.schedule = (*batches.schedule, (step, raised))
        return {forgetting.SHARE: raised}


def make_batches(config: PretrainSettings, dataset: TokenDataset) -> Batches:
    """The batches of this training, in two pools where it replays."""
    pools = replay.make_pools(dataset, config.replay.sources) if config.replay else None
    batches = Batches(
        dataset, config.seed, config.global_batch_sequences, config.micro_batch_sequences, pools
    )
    if pools is not None:
        batches.schedule = ((0, replay.initial_share(config.replay, pools)),)
    return batches


def _raised(share: float | None, held: float) -> str:
    if share is None:
        return f". The share of replay stays at its largest, {held:g}"
    return f". The share of replay is raised to {share:g}"


def _stopped(what: str) -> str:
    return (
        f"pretrain: {what}. The training stopped, as pretrain.forgetting.on_bound says. Raise the share of "
        "pretrain.replay, lower the learning rate, or move the bound; with other settings it begins anew."
    )
