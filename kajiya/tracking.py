"""Live training metrics in MLflow, when a tracking server is set.

The tracker must never cost a training run: when the server does not answer, that is said, and the
rows are kept and sent when it is back. metrics.jsonl in the stage's output is the record.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from kajiya.errors import without_passwords

_PAUSE_SECONDS = 15.0
"""After a failure; doubled after each further one, up to the longest. A call may hold the training for 20 seconds."""
_LONGEST_PAUSE_SECONDS = 600.0
_MOST_WAITING = 200_000
"""Values kept for a server that is away; metrics.jsonl has them all."""
_BATCHES_AT_ONCE = 5
_BATCH_ROWS = 1000  # MLflow's limit on metrics per request


class Tracker:
    """One MLflow run; does nothing without MLFLOW_TRACKING_URI.

    memory: file that keeps the run's id, so that a resumed training goes on in the same MLflow run.
    """

    def __init__(self, experiment: str, name: str, parameters: dict[str, Any], memory: Path) -> None:
        self._experiment = experiment
        self._name = name
        self._parameters = parameters
        self._memory = memory
        self._waiting: list[tuple[str, float, int, int]] = []
        self._client: Any = None
        self._run_id = ""
        self._retry_at = 0.0
        self._pause = _PAUSE_SECONDS
        self._dropped = 0
        self.enabled = bool(os.environ.get("MLFLOW_TRACKING_URI"))

    def log(self, step: int, values: dict[str, float]) -> None:
        """Queue the values of one step and send what waits."""
        if not self.enabled:
            return
        now = int(time.time() * 1000)
        self._waiting += [(key, value, now, step) for key, value in values.items()]
        if (surplus := len(self._waiting) - _MOST_WAITING) > 0:
            del self._waiting[:surplus]
            self._dropped += surplus
        self._send(_BATCHES_AT_ONCE)

    def finish(self, status: str = "FINISHED") -> None:
        if self.enabled:
            self._retry_at = 0.0
            self._send(len(self._waiting))
        if self._client is not None and not self._waiting:  # else it would not answer now either
            self._attempt(lambda: self._client.set_terminated(self._run_id, status))

    def _send(self, batches: int) -> None:
        """Send at most so many batches: a long backlog must not hold up one step."""
        if time.monotonic() < self._retry_at:
            return
        while batches and self._waiting and self._attempt(self._send_batch):
            del self._waiting[:_BATCH_ROWS]
            batches -= 1

    def _send_batch(self) -> None:
        from mlflow.entities import Metric  # noqa: PLC0415 - seconds to import, and often not wanted

        if self._client is None:
            self._open()
        rows = [Metric(key, value, at, step) for key, value, at, step in self._waiting[:_BATCH_ROWS]]
        self._client.log_batch(self._run_id, metrics=rows)

    def _open(self) -> None:
        # MLflow's own seven retries would hold training for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient  # noqa: PLC0415
        from mlflow.entities import Param  # noqa: PLC0415

        client = MlflowClient()
        if self._memory.is_file():
            self._run_id = self._memory.read_text().strip()
            client.update_run(self._run_id, "RUNNING")
        else:
            found = client.get_experiment_by_name(self._experiment)
            experiment_id = found.experiment_id if found else client.create_experiment(self._experiment)
            self._run_id = client.create_run(experiment_id, run_name=self._name).info.run_id
            self._memory.write_text(self._run_id)  # at once: where the next call fails, this run goes on
        client.log_batch(
            self._run_id, params=[Param(key, str(self._parameters[key])) for key in self._parameters]
        )
        self._client = client

    def _attempt(self, call: Any) -> bool:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever the server does, training goes on
            self._retry_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
            lost = (
                f" The oldest {self._dropped} were dropped: metrics.jsonl has them." if self._dropped else ""
            )
            reason = without_passwords((str(error).strip() or "no message").splitlines()[0])
            print(
                f"warning: MLflow at {without_passwords(os.environ['MLFLOW_TRACKING_URI'])} does not take metrics "
                f"({type(error).__name__}: {reason}). Training goes on; "
                f"{len(self._waiting)} values wait for the next try, at the latest at the end.{lost}",
                file=sys.stderr,
                flush=True,
            )
            return False
        self._pause = _PAUSE_SECONDS
        return True
