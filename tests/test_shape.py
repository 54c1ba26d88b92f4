"""A shape follows from one dial, and its parameters are counted exactly."""

import pytest
import torch
from pydantic import ValidationError
from transformers import LlamaForCausalLM

from kajiya.lm.model import llama_config
from kajiya.lm.shape import LADDER, LlamaShape, parameter_count


@pytest.mark.parametrize(
    "dials",
    [
        {"layers": 1},
        {"hidden_size": 96, "layers": 3, "heads": 4},
        {"hidden_size": 64, "layers": 2, "heads": 8, "kv_heads": 2, "ffn_size": 88},
        {"hidden_size": 48, "layers": 2, "tied_embeddings": True},
        {"size": "125M"},
    ],
    ids=str,
)
def test_parameters_are_those_of_the_real_model(dials: dict) -> None:
    shape = LlamaShape(**dials)
    with torch.device("meta"):
        model = LlamaForCausalLM(llama_config(shape, 301, {}))

    assert parameter_count(shape, 301) == sum(one.numel() for one in model.parameters())


@pytest.mark.parametrize(
    ("size", "published"), [("7B", 6_738_415_616), ("13B", 13_015_864_320), ("70B", 68_976_648_192)]
)
def test_parameters_of_llama_2_are_the_known_totals(size: str, published: int) -> None:
    assert parameter_count(LlamaShape(size=size, context=4096), 32_000) == published


@pytest.mark.parametrize("size", LADDER)
def test_rung_has_about_the_parameters_of_its_name(size: str) -> None:
    named = float(size[:-1]) * {"M": 1e6, "B": 1e9}[size[-1]]

    assert parameter_count(LlamaShape(size=size, tied_embeddings=named < 2e9), 50_000) == pytest.approx(
        named, rel=0.1
    )


def test_depth_alone_gives_llamas_proportions() -> None:
    shape, rung = LlamaShape(layers=40), LlamaShape(size="13B")

    assert (shape.hidden_size, shape.heads, shape.feed_forward_size) == (5120, 40, rung.feed_forward_size)


def test_dial_given_beside_a_size_counts() -> None:
    shape = LlamaShape(size="7B", hidden_size=1024, context=512)

    assert (shape.layers, shape.hidden_size, shape.heads, shape.context) == (32, 1024, 8, 512)


def test_no_dial_gives_the_default() -> None:
    assert LlamaShape() == LlamaShape.model_construct()


def test_shape_survives_being_written_and_read() -> None:
    shape = LlamaShape(size="70B")

    assert LlamaShape(**shape.model_dump()) == shape


@pytest.mark.parametrize(
    "dials", [{"size": "1.4B", "hidden_size": 64}, {"layers": "many"}, {"hidden_size": 0}], ids=str
)
def test_dial_that_is_none_is_refused_by_name(dials: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(dials))):
        LlamaShape(**dials)
