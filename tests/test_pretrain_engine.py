"""One rank on plain torch and two on DeepSpeed: the same training, told in the same slices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine_rank import owned, read_state, settings, tiny_model, train_step, write_state
from safetensors.torch import load_file

from components.pretrain.engine import make_engine

CASES = [
    "0-fp32",
    "1-fp32",
    "2-fp32",
    "3-fp32",
    "1-bf16",
    "2-bf16",
    "3-bf16",
    "3-fp32-tied",
    "2-bf16-offload",
]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two ranks kept of every case: three steps, of which the second is discarded."""
    folder = tmp_path_factory.mktemp("ranks")
    script = str(Path(__file__).parent / "engine_rank.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with (folder / "log").open("wb") as log:
        processes = [
            subprocess.Popen(
                [sys.executable, script, str(rank), str(folder), *CASES],
                env=environment,
                stdout=log,
                stderr=log,
            )
            for rank in (0, 1)
        ]
        codes = [process.wait() for process in processes]
    assert codes == [0, 0], (folder / "log").read_text()[-3000:]
    return folder


def engine_like(case: str):
    _, precision, *more = case.split("-")
    return make_engine(
        tiny_model(torch.float32, "tied" in more), settings(precision=precision), end_of_sequence=0
    )


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_own_every_element_once_and_train_as_one_does(ranks, case):
    alone = engine_like(case)
    train_step(alone, 0)
    norm = train_step(alone, 7, discard=True)
    train_step(alone, 1)
    found: dict[tuple[str, str], list[tuple[int, torch.Tensor]]] = {}
    for rank in (0, 1):
        for key, tensor in load_file(ranks / f"{case}.{rank}").items():
            if "|" in key:
                name, kind, offset = key.split("|")
                found.setdefault((name, kind), []).append((int(offset), tensor))
    bound = 1e-5 if "fp32" in case else 0.1  # bf16: gradients are rounded before they are summed
    for part in alone.slices():
        pieces = sorted(found.pop((part.name, part.kind)), key=lambda piece: piece[0])
        ends = [offset + len(tensor) for offset, tensor in pieces]
        assert [offset for offset, _ in pieces] == [0, *ends[:-1]]
        together = torch.cat([tensor for _, tensor in pieces])
        assert torch.allclose(together, part.tensor, rtol=0, atol=bound * float(part.tensor.abs().max()))
    assert not found
    facts = load_file(ranks / f"{case}.0")
    assert float(facts["norm"]) == pytest.approx(norm, rel=bound)
    assert int(facts["steps"]) == alone.optimizer_steps() == 2


@pytest.mark.parametrize("case", CASES)
def test_masters_of_one_rank_and_of_two_begin_at_the_weights_unrounded(ranks, case):
    weights = dict(tiny_model(torch.float32, "tied" in case).named_parameters())
    parts = [
        (part.name, part.offset, part.tensor) for part in engine_like(case).slices() if part.kind == "master"
    ]
    for rank in (0, 1):
        for key, tensor in load_file(ranks / f"{case}.{rank}.before").items():
            name, kind, offset = key.split("|")
            if kind == "master":
                parts.append((name, int(offset), tensor))
    for name, offset, tensor in parts:
        assert torch.equal(tensor, weights[name].detach().flatten()[offset : offset + len(tensor)])
    assert sum(len(tensor) for *_, tensor in parts) == 2 * sum(weight.numel() for weight in weights.values())


def test_weights_are_rounded_and_rotary_frequencies_are_not():
    engine = engine_like("0-bf16")
    assert {parameter.dtype for parameter in engine.model.parameters()} == {torch.bfloat16}
    assert engine.model.model.rotary_emb.inv_freq.dtype == torch.float32


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_restored_from_their_slices_go_on_to_the_same_bytes(ranks, case):
    weights = load_file(ranks / f"{case}.0.weights")
    for name in (f"{case}.1.weights", f"{case}.0.again", f"{case}.1.again"):
        other = load_file(ranks / name)
        assert weights.keys() == other.keys()
        assert all(torch.equal(weights[key], other[key]) for key in weights)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_rank_restored_from_its_slices_goes_on_to_the_same_bytes(precision):
    engine = engine_like(f"0-{precision}")
    train_step(engine, 0)
    kept = read_state(engine)
    train_step(engine, 1)
    expected = owned(engine)
    other = engine_like(f"0-{precision}")
    train_step(other, 5)
    write_state(other, kept)
    train_step(other, 1)
    assert all(torch.equal(tensor, expected[key]) for key, tensor in owned(other).items())


def test_step_discarded_leaves_weights_moments_and_count():
    engine = engine_like("0-bf16")
    train_step(engine, 0)
    before, weights = owned(engine), engine.weights()
    train_step(engine, 7, discard=True)
    assert all(torch.equal(tensor, before[key]) for key, tensor in owned(engine).items())
    assert all(torch.equal(tensor, weights[key]) for key, tensor in engine.weights().items())
    assert engine.optimizer_steps() == 1


def test_rank_that_only_helps_to_gather_copies_no_weights():
    engine = engine_like("0-fp32")
    assert engine.weights(wanted=False) == {}
    assert len(engine.weights()) == len(list(engine.model.named_parameters()))


def test_one_rank_imports_no_deepspeed():
    script = (
        "import sys, components.pretrain.training, components.pretrain.plain_engine; "
        "sys.exit('deepspeed' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, env=os.environ).returncode == 0
