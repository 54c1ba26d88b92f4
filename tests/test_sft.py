import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from tuning_world import SETTINGS, message, record, tune, write

from components.sft.settings import SftSettings
from kajiya.errors import KajiyaError


def test_batch_that_is_no_multiple_of_the_micro_batch_is_refused():
    with pytest.raises(ValueError, match="batch_size 10 is not a multiple"):
        SftSettings(batch_size=10, micro_batch_size=4)


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    records = [record(i, generator="gpt-4" if i % 4 == 0 else "human") for i in range(48)]
    return write(tmp_path_factory.mktemp("instructions") / "in", records)


@pytest.fixture(scope="module")
def tuned(tuning_base, instructions, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "instruct"
    return tune(tuning_base, instructions, out), out


def test_tuning_learns_and_counts_every_record(tuned):
    report, out = tuned
    flow = report.flows["instructions"]
    assert (flow.came_in, flow.out, dict(flow.rejected)) == (48, 36, {"forbidden_generator:gpt-4": 12})
    refused = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [one["where"] for one in refused] == [f"a.jsonl:{i + 1}" for i in range(0, 48, 4)]
    loss = report.figures["loss"]
    assert loss["validation_after"] < loss["validation_before"] - 0.5
    assert report.figures["generators"] == {"human": 36}


def test_tuned_folder_loads_and_speaks_the_template(tuned, tuning_base):
    _, out = tuned
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    prompt = tokenizer.apply_chat_template(
        [message("user", "5円のみかんは？")],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    reply = model.generate(**prompt, max_new_tokens=3, do_sample=False)
    assert reply.shape[1] == prompt["input_ids"].shape[1] + 3
    before = AutoModelForCausalLM.from_pretrained(tuning_base).state_dict()
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert len(changed) == len(before)


def test_metrics_hold_neither_times_nor_paths(tuned, tmp_path_factory):
    _, out = tuned
    text = "".join(
        (out / name).read_text() for name in ("metrics.jsonl", "config.json", "generation_config.json")
    )
    assert "runtime" not in text
    assert "per_second" not in text
    assert str(tmp_path_factory.getbasetemp()) not in text
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_tuning_twice_gives_the_same_bytes(tuned, tuning_base, instructions, tmp_path):
    report, out = tuned
    again = tune(tuning_base, instructions, tmp_path / "again")
    assert again == report
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    assert all((out / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_context_shorter_than_max_tokens_is_an_error(tuning_base, instructions, tmp_path):
    with pytest.raises(KajiyaError, match="was made for 128"):
        tune(tuning_base, instructions, tmp_path / "out", SETTINGS.model_copy(update={"max_tokens": 2048}))


def test_nothing_left_to_train_on_is_an_error(tuning_base, tmp_path):
    folder = write(tmp_path / "in", [record(0, generator="gpt-4")])
    with pytest.raises(KajiyaError, match=r"none is left to train on .*forbidden_generator:gpt-4"):
        tune(tuning_base, folder, tmp_path / "out")


def test_base_without_a_model_is_an_error(tuning_base, instructions, tmp_path):
    shutil.copytree(tuning_base, tmp_path / "base")
    (tmp_path / "base" / "config.json").unlink()
    with pytest.raises(KajiyaError, match=r"no config\.json"):
        tune(tmp_path / "base", instructions, tmp_path / "out")


def test_tuning_that_diverges_stops_at_once_and_says_what_to_lower(tuning_base, instructions, tmp_path):
    config = SETTINGS.model_copy(
        update={"learning_rate": 1e30, "log_every_steps": 1000, "max_gradient_norm": 1e30}
    )
    with pytest.raises(KajiyaError, match=r"step [23]: the tuning diverged. Lower sft\.learning_rate"):
        tune(tuning_base, instructions, tmp_path / "out", config)


def test_template_inside_the_base_s_tokenizer_config_does_not_outlive_the_tuning(
    tuning_base, instructions, tmp_path
):
    shutil.copytree(tuning_base, tmp_path / "base")
    path = tmp_path / "base" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": "{{ messages }}"}))
    tune(tmp_path / "base", instructions, tmp_path / "out", SETTINGS.model_copy(update={"epochs": 1}))
    assert "chat_template" not in json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert "generation" in AutoTokenizer.from_pretrained(tmp_path / "out").chat_template


def test_metrics_of_a_tuning_are_live_in_mlflow(tuning_base, instructions, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    report = tune(tuning_base, instructions, tmp_path / "out", SETTINGS.model_copy(update={"epochs": 1}))
    client = MlflowClient(address)
    (run,) = client.search_runs([client.get_experiment_by_name("kajiya").experiment_id])
    assert run.data.tags["mlflow.runName"] == f"sft {tuning_base.parent.name} out"
    assert run.info.status == "FINISHED"
    assert run.data.params["batch_size"] == "8"
    points = client.get_metric_history(run.info.run_id, "loss")
    written = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [(one.step, one.value) for one in points] == [(row["step"], row["loss"]) for row in written]
    assert points[-1].step == report.figures["steps"]
