"""The loss without all logits, the lean layers, and the borders of attention: against torch and transformers."""

from functools import partial

import pytest
import torch
from engine_rank import CONTEXT, PIECES, batch, settings, tiny_model, train_step
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from components.pretrain.engine import make_engine
from components.pretrain.loss import linear_cross_entropy
from components.pretrain.objective import NextTokenLoss, document_positions
from kajiya.lm.packing import positions

END = 2
TOKENS, WIDTH = 50, 12


def head(dtype: torch.dtype, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(TOKENS, WIDTH, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(PIECES, WIDTH, generator=generator).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(0, PIECES, (TOKENS,), generator=generator)


@pytest.mark.parametrize("rows", [1, 7, 50, 1000])  # 7: the last chunk is short
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)], ids=str)
def test_loss_by_chunks_has_the_value_and_the_gradients_of_torch(dtype, bound, rows):
    hidden, weight, labels = head(dtype)
    mean, losses = linear_cross_entropy(hidden, weight, labels, chunk_logits=rows * PIECES)
    (3 * mean).backward()
    theirs = [tensor.detach().double().requires_grad_() for tensor in (hidden, weight)]
    expected = cross_entropy(theirs[0] @ theirs[1].T, labels, reduction="none")
    (3 * expected.mean()).backward()
    assert losses.dtype == mean.dtype == torch.float32
    assert torch.allclose(losses.double(), expected, rtol=bound, atol=4 * bound)
    assert float(mean.detach()) == pytest.approx(float(losses.mean()))
    for ours, exact in zip((hidden, weight), theirs, strict=True):
        assert float((ours.grad - exact.grad).abs().max()) < bound * float(exact.grad.abs().max())


def test_loss_of_a_label_beyond_the_range_of_fp32_probabilities_is_finite():
    hidden = torch.tensor([[200.0, 0.0]], requires_grad=True)
    weight = torch.eye(2, requires_grad=True)
    mean, _ = linear_cross_entropy(hidden, weight, torch.tensor([1]))
    mean.backward()
    assert float(mean.detach()) == 200.0
    assert hidden.grad.tolist() == [[1.0, -1.0]]


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operator made."""

    elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


def test_loss_by_chunks_never_holds_all_logits():
    hidden, weight, labels = head(torch.bfloat16)
    with Largest() as chunked:
        linear_cross_entropy(hidden, weight, labels, chunk_logits=5 * PIECES)[0].backward()
    with Largest() as whole:
        cross_entropy((hidden @ weight.T).float(), labels).backward()
    assert whole.elements == TOKENS * PIECES
    assert chunked.elements == PIECES * WIDTH  # the gradient of the projection itself


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)], ids=str)
@pytest.mark.parametrize("attention", ["across_documents", "within_documents"])
def test_objective_has_the_loss_and_the_gradients_of_transformers(dtype, bound, attention):
    theirs, model = tiny_model(dtype), tiny_model(dtype)
    objective = NextTokenLoss(model, settings(attention=attention), END)
    tokens = batch(0)
    tokens[:, 5] = END
    mean, losses = objective(tokens)
    mean.backward()
    places = document_positions(tokens[:, :-1], END) if attention == "within_documents" else None
    logits = theirs(input_ids=tokens[:, :-1], position_ids=places, use_cache=False).logits
    expected = cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
    expected.backward()
    assert losses.shape == (8, CONTEXT)
    assert mean.item() == pytest.approx(expected.item(), rel=bound)
    for (name, ours), other in zip(model.named_parameters(), theirs.parameters(), strict=True):
        difference = float((ours.grad - other.grad).abs().max())
        assert difference < bound * float(other.grad.abs().max()), name


def test_objective_under_activation_checkpointing_has_the_same_gradients():
    models = [tiny_model(torch.float32), tiny_model(torch.float32)]
    models[1].gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for model in models:
        NextTokenLoss(model, settings(), END).train()(batch(0))[0].backward()
    for ours, other in zip(*(model.parameters() for model in models), strict=True):
        assert torch.allclose(ours.grad, other.grad, atol=1e-7)


def test_positions_on_the_device_are_those_of_the_packed_dataset():
    inputs = batch(3)[:, :-1]
    inputs[0, [0, 4, 5, 15]] = END
    assert document_positions(inputs, END).tolist() == positions(inputs.numpy(), END).tolist()


def losses_after_a_change(attention: str) -> torch.Tensor:
    """By how much each loss moves when the first of three documents in a sequence is another one."""
    objective = NextTokenLoss(tiny_model(torch.float32), settings(attention=attention), END)
    tokens = batch(1)[:1].clamp(min=END + 1)
    tokens[0, [5, 11]] = END
    other = tokens.clone()
    other[0, :5] = (tokens[0, :5] + 7) % (PIECES - 3) + 3
    with torch.no_grad():
        return (objective(tokens)[1] - objective(other)[1]).abs()[0]


def test_attention_within_documents_leaks_nothing_across_their_borders():
    moved = losses_after_a_change("within_documents")
    assert moved[:4].max() > 0.01
    assert moved[6:].max() < 1e-6  # predicted from the second document on


def test_attention_across_documents_sees_those_before():
    assert losses_after_a_change("across_documents")[6:].max() > 1e-3


@pytest.mark.parametrize(
    ("attention", "gpu", "chosen"),
    [
        ("within_documents", True, "flex_attention"),
        ("within_documents", False, "sdpa"),
        ("across_documents", True, "sdpa"),
    ],
)
def test_attention_is_never_one_that_leaks_in_batches(monkeypatch, attention, gpu, chosen):
    # FlashAttention is there, but sees borders in batches of one sequence only.
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    model = tiny_model(torch.float32)
    NextTokenLoss(model, settings(attention=attention), END)
    assert model.config._attn_implementation == chosen


class Programs:
    """A compiler that counts its programs, and the layers that ran in them."""

    made = ran = 0

    def __call__(self, graph, _):
        self.made += 1

        def run(*arguments):
            self.ran += 1
            return graph.forward(*arguments)

        return run


def test_measures_of_many_lengths_leave_training_compiled(monkeypatch):
    programs = Programs()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=programs))
    torch._dynamo.reset()
    engine = make_engine(tiny_model(torch.float32), settings(compile=True), END)
    windows = [batch(0)[:1, :length] for length in range(2, CONTEXT + 1)]
    for window in windows:  # as a resumed run may begin
        engine.losses(window)
    assert programs.made == 0
    train_step(engine, 0)
    made, ran = programs.made, programs.ran
    assert made > 0
    for window in windows:
        engine.losses(window)
    assert (programs.made, programs.ran) == (made, ran)
    train_step(engine, 1)
    assert (programs.made, programs.ran) == (made, 2 * ran)


def test_flex_attention_measures_by_sdpa_and_goes_on_as_before():
    model = tiny_model(torch.float32)
    objective = NextTokenLoss(model, settings(attention="within_documents"), END)
    model.set_attn_implementation("flex_attention")
    with objective.uncompiled():
        assert model.config._attn_implementation == "sdpa"
    assert model.config._attn_implementation == "flex_attention"
