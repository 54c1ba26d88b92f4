"""The quantization benchmark: the same tensors from both sides, rows that say what they are, and its table."""

import json

import pytest
import torch
from safetensors.torch import save_file

from benchmarks import quantize
from benchmarks.contender import Turn
from benchmarks.machine import machine
from benchmarks.quantizers import PREPARE

TINY = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 32,
}  # fmt: skip


class InThisProcess:
    """A contender without a process of its own: importing llm-compressor twice more takes longer than all the rest."""

    def __init__(self, *given, limit_seconds):
        _, _, name, options, *_ = given
        self.turns, self._prepare = [], lambda: PREPARE[name](**options)

    def __enter__(self):
        self._ready = self._prepare()
        self.settings = self._ready.settings
        return self

    def __exit__(self, *_):
        pass

    def begin(self):
        pass

    def end(self):
        counts = self._ready.work()
        self.turns.append(Turn(counts["cpu"], counts["wall"], counts))


def measured(folder, names, gpu=None):
    """Rows of a tiny GPTQ in place of the real ones."""
    settings = {"method": "gptq", "group_size": 16, "sequence_tokens": 16}
    settings |= {"calibration_sequences": 3, "held_out_sequences": 1}
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            tiny = quantize.WORKS[name]._replace(shape=TINY, settings=settings)
            patch.setitem(quantize.WORKS, name, tiny)
        patch.setattr(quantize, "gpu_name", lambda: gpu)
        patch.setattr(quantize, "Contender", InThisProcess)
        options = ["--only", *names, "--rounds", "1"]
        quantize.main([*options, "--work", str(folder), "--out", str(folder / "out.json")])
    return json.loads((folder / "out.json").read_text())["rows"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("quantize"), ["cpu-gptq", "gpu-gptq"])


def test_both_sides_write_the_same_tensors(rows):
    assert rows[0]["reason"] is None
    assert rows[0]["same_tensors"] is True


def test_row_is_seconds_by_parameters_with_the_command_that_gives_them_again(rows):
    row = rows[0]
    assert row["parameters"] == 2 * 97 * 32 + 4 * 32 * 32 + 3 * 32 * 64 + 3 * 32
    assert row["ours"] == pytest.approx(row["ours_turns"][0]["cpu"] / row["parameters"] * 1e6, rel=0.01)
    assert row["ratio"] == pytest.approx(row["ours"] / row["peer_value"], rel=0.01)
    assert row["command"] == "python -m benchmarks.quantize --only cpu-gptq --rounds 1"
    assert row["unit"] == "CPU seconds per million parameters"


def test_row_of_a_gpu_without_one_says_so(rows):
    assert (rows[1]["ours"], rows[1]["reason"]) == (None, "no GPU here")
    assert "not measured: no GPU here" in quantize.table({"rows": rows, "machine": machine()})


def test_row_of_a_gpu_compares_its_bfloat16_folders_in_the_end(tmp_path):
    row = measured(tmp_path, ["gpu-gptq"], gpu="a GPU")[0]
    assert (row["reason"], row["same_tensors"], row["device"]) == (None, True, "a GPU")


def test_tensors_that_differ_in_one_bit_are_not_the_same(tmp_path):
    for name, last in (("one", 0.0), ("other", -0.0)):
        (tmp_path / name).mkdir()
        weights = torch.tensor([1.0, float("nan"), last], dtype=torch.bfloat16)
        save_file({"a": weights, "b": torch.tensor(1.5)}, tmp_path / name / "model.safetensors")
    assert quantize.same_tensors(tmp_path / "one", tmp_path / "one")
    assert not quantize.same_tensors(tmp_path / "one", tmp_path / "other")
    assert not quantize.same_tensors(tmp_path, tmp_path)


def test_table_of_the_page_is_that_of_the_results():
    document = quantize.DOCUMENT.read_text(encoding="utf-8")
    results = json.loads(quantize.RESULTS.read_text(encoding="utf-8"))
    assert quantize.with_table(results, document) == document
