"""One GPU against the CPU: for whoever has one. `python -m pytest -o addopts= tests/test_pretrain_gpu.py`."""

import pytest
import torch
from engine_rank import CONTEXT, PIECES, batch, owned, settings, tiny_model

from components.pretrain.engine import make_engine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
END = 2


def on_both(monkeypatch, **changes: object):
    """The same engine on the GPU and on the CPU."""
    gpu = make_engine(tiny_model(torch.float32), settings(**changes), END)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        cpu = make_engine(tiny_model(torch.float32), settings(**changes), END)
    assert (gpu.device.type, cpu.device.type) == ("cuda", "cpu")
    return gpu, cpu


def test_losses_on_the_gpu_are_those_of_the_cpu(monkeypatch):
    gpu, cpu = on_both(monkeypatch)
    tokens = batch(0)
    ours = gpu.losses(tokens.to(gpu.device)).cpu()
    assert torch.allclose(ours, cpu.losses(tokens), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("offload", [False, True], ids=["held", "offloaded"])
def test_step_on_the_gpu_is_that_of_the_cpu(monkeypatch, offload):
    engines = on_both(monkeypatch, offload_optimizer=offload)
    for engine in engines:
        for part in batch(0).view(-1, 2, CONTEXT + 1):
            engine.micro_step(part.to(engine.device))
    ours, theirs = (engine.gradient_norm() for engine in engines)
    assert ours == pytest.approx(theirs, rel=1e-3)
    for engine in engines:
        engine.step(0.01)
    expected = owned(engines[1])
    for key, tensor in owned(engines[0]).items():
        if "|exp_avg" in key:  # the first update of Adam is the gradient's sign, which rounding may turn
            assert torch.allclose(tensor.cpu(), expected[key], rtol=0.01, atol=1e-5), key


@pytest.mark.parametrize("sequences", [1, 2])
def test_documents_on_the_gpu_leak_nothing_across_their_borders(sequences):
    engine = make_engine(tiny_model(torch.float32), settings(attention="within_documents"), END)
    tokens = batch(1)[:sequences].clamp(min=END + 1)
    tokens[:, [5, 11]] = END
    other = tokens.clone()
    other[:, :5] = (tokens[:, :5] + 7) % (PIECES - 3) + 3
    # As in training, where attention is FlexAttention.
    losses = [engine.micro_step(rows.to(engine.device)).detach() for rows in (tokens, other)]
    moved = (losses[0] - losses[1]).abs()
    assert moved[:, :4].max() > 0.01
    assert moved[:, 6:].max() < 1e-4
