"""Live metrics: in MLflow when there is a server, and never at the cost of the training."""

import pytest
from mlflow import MlflowClient

from kajiya.tracking import Tracker


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"  # made once: it takes seconds


@pytest.fixture
def server(monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return MlflowClient(address)


def tracker(tmp_path) -> Tracker:
    return Tracker(tmp_path.name, "pretrain smoke", {"steps": 12}, tmp_path / "run_id")


def test_tracker_without_a_server_does_nothing(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    quiet = tracker(tmp_path)
    quiet.log(1, {"loss": 4.0})
    quiet.finish()
    assert list(tmp_path.iterdir()) == []


def test_tracker_resumed_goes_on_in_the_same_run(server, tmp_path):
    tracker(tmp_path).log(1, {"loss": 4.0})
    resumed = tracker(tmp_path)
    resumed.log(2, {"loss": 3.0})
    resumed.finish()
    (run,) = server.search_runs([server.get_experiment_by_name(tmp_path.name).experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"steps": "12"}
    history = server.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 4.0), (2, 3.0)]


def test_tracker_that_fails_after_the_run_is_made_goes_on_in_it(server, tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "log_batch", lambda *_, **__: 1 / 0)
        tracker(tmp_path).log(1, {"loss": 4.0})
    tracker(tmp_path).log(2, {"loss": 3.0})
    (run,) = server.search_runs([server.get_experiment_by_name(tmp_path.name).experiment_id])
    assert run.data.params == {"steps": "12"}


def test_tracker_keeps_rows_while_the_server_is_down_and_sends_them_later(
    server, address, monkeypatch, tmp_path, capfd
):
    late = tracker(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens on discard
    late.log(1, {"loss": 4.0})
    late.log(2, {"loss": 3.0})
    assert capfd.readouterr().err.count("does not take metrics") == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    late.finish()
    (run,) = server.search_runs([server.get_experiment_by_name(tmp_path.name).experiment_id])
    assert [point.step for point in server.get_metric_history(run.info.run_id, "loss")] == [1, 2]


def test_tracker_asks_a_server_that_is_away_ever_more_rarely_and_keeps_so_many_values(
    monkeypatch, tmp_path, capfd
):
    now = [0.0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    monkeypatch.setattr("kajiya.tracking.time.monotonic", lambda: now[0])
    monkeypatch.setattr("kajiya.tracking._MOST_WAITING", 100)
    monkeypatch.setattr(Tracker, "_open", lambda self: 1 / 0)
    late, tries = tracker(tmp_path), []
    for step in range(3600):
        now[0] = float(step)
        late.log(step, {"loss": 4.0})
        if "does not take metrics" in capfd.readouterr().err:
            tries.append(step)
    assert tries == [0, 15, 45, 105, 225, 465, 945, 1545, 2145, 2745, 3345]
    assert len(late._waiting) == 100
    assert late._waiting[-1][3] == 3599
    late.finish()
    assert "The oldest 3500 were dropped: metrics.jsonl has them." in capfd.readouterr().err
