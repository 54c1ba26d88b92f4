import pytest
from tuning_world import SETTINGS, read_files, record, tune, write

from kajiya.lm import checkpoint
from kajiya.lm.tuning.settings import LoraSettings

LORA = LoraSettings(rank=4, dropout=0.2)  # dropout: the random state must come back, too


class Killed(BaseException):
    """As if the process ended here."""


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    return write(tmp_path_factory.mktemp("instructions") / "in", [record(i) for i in range(48)])


def settings(**values):
    # 5 steps an epoch: a checkpoint every 2 steps falls into epochs, and on the border of the second.
    return SETTINGS.model_copy(update={"save_every_steps": 2, "log_every_steps": 3} | values)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_tuning_killed_and_run_again_gives_the_bytes_of_an_undisturbed_run(
    tuning_base, instructions, tmp_path, monkeypatch, lora
):
    config = settings(lora=lora)
    expected = tune(tuning_base, instructions, tmp_path / "whole", config)
    publish, published = checkpoint.publish, []

    def killed_at(*arguments, **keywords):
        publish(*arguments, **keywords)
        published.append(arguments[1])
        if published.count(published[-1]) == 1 and published[-1] in {4, 10}:
            raise Killed

    monkeypatch.setattr(checkpoint, "publish", killed_at)
    for _ in range(2):
        with pytest.raises(Killed):
            tune(tuning_base, instructions, tmp_path / "killed", config)
    found = tune(tuning_base, instructions, tmp_path / "killed", config)
    assert found == expected
    assert read_files(tmp_path / "killed") == read_files(tmp_path / "whole")
    assert published == sorted(set(published))  # no step was done twice


def test_damaged_checkpoint_is_passed_for_the_one_before(
    tuning_base, instructions, tmp_path, monkeypatch, capfd
):
    config = settings(epochs=1.5)
    tune(tuning_base, instructions, tmp_path / "whole", config)
    publish = checkpoint.publish

    def killed_at(*arguments, **keywords):
        publish(*arguments, **keywords)
        if arguments[1] == 4:
            raise Killed

    monkeypatch.setattr(checkpoint, "publish", killed_at)
    with pytest.raises(Killed):
        tune(tuning_base, instructions, tmp_path / "killed", config)
    monkeypatch.undo()
    newest = tmp_path / "killed.work" / "checkpoints" / "step-00000004" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100] + bytes(100))
    tune(tuning_base, instructions, tmp_path / "killed", config)
    told = capfd.readouterr().err
    assert "step-00000004 is damaged" in told
    assert "continuing at step 2" in told
    assert read_files(tmp_path / "killed") == read_files(tmp_path / "whole")


def test_checkpoints_hold_no_pickle(tuning_base, instructions, tmp_path, monkeypatch):
    config = settings(epochs=1)
    monkeypatch.setattr("torch.save", lambda *_, **__: pytest.fail("a pickle was written"))
    tune(tuning_base, instructions, tmp_path / "out", config)
    folders = sorted((tmp_path / "out.work" / "checkpoints").glob("step-*"))
    assert [folder.name for folder in folders] == ["step-00000002", "step-00000004"]
    names = {path.suffix for folder in folders for path in folder.iterdir()}
    assert names == {".safetensors", ".json"}
