import importlib.util

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from tuning_world import SETTINGS, read_files, record, tune, write

from kajiya.errors import KajiyaError
from kajiya.lm.model import load_model
from kajiya.lm.tuning.adapters import add_lora, merge, require_same_logits
from kajiya.lm.tuning.settings import LoraSettings

IDS = torch.arange(3, 90)[None]


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    return write(tmp_path_factory.mktemp("instructions") / "in", [record(i) for i in range(36)])


def settings(**lora):
    chosen = LoraSettings(rank=4, keep_adapter=True, **lora)
    return SETTINGS.model_copy(update={"lora": chosen, "learning_rate": 3e-2, "epochs": 2})


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits.float()


def difference(found, expected):
    return float((found - expected).square().mean().sqrt() / expected.std())


def test_lora_is_merged_into_weights_that_say_what_base_and_updates_say(tuning_base, instructions, tmp_path):
    report = tune(tuning_base, instructions, tmp_path / "lora", settings())
    before = AutoModelForCausalLM.from_pretrained(tuning_base)
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "lora")
    shapes = {name: (value.shape, value.dtype) for name, value in before.state_dict().items()}
    assert {name: (value.shape, value.dtype) for name, value in after.state_dict().items()} == shapes
    assert torch.equal(after.model.embed_tokens.weight, before.model.embed_tokens.weight)
    parameters = report.figures["parameters"]
    assert parameters["trained"] < parameters["all"] / 3
    assert report.figures["loss"]["validation_after"] < report.figures["loss"]["validation_before"]
    untouched = logits(before)
    adapted = PeftModel.from_pretrained(before, tmp_path / "lora" / "adapter")
    assert torch.allclose(logits(after), logits(adapted), atol=1e-4)
    assert difference(logits(after), untouched) > 0.1
    assert report.figures["merge_difference"] < 1e-5


def test_lora_on_a_base_in_bf16_is_merged_within_the_rounding_of_bf16(tuning_base, instructions, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for name, content in read_files(tuning_base).items():
        (base / name).write_bytes(content)
    AutoModelForCausalLM.from_pretrained(tuning_base, dtype=torch.bfloat16).save_pretrained(base)
    config = settings().model_copy(update={"precision": "bf16"})
    report = tune(base, instructions, tmp_path / "lora", config)
    after = load_model(tmp_path / "lora", "auto")
    assert after.dtype == torch.bfloat16
    assert 0 < report.figures["merge_difference"] < 0.05


@pytest.mark.skipif(
    not importlib.util.find_spec("bitsandbytes"), reason="bitsandbytes (kajiya[qlora]) is absent"
)
def test_qlora_learns_and_leaves_plain_weights_that_say_what_4_bits_and_updates_say(
    tuning_base, instructions, tmp_path
):
    report = tune(tuning_base, instructions, tmp_path / "qlora", settings(base="nf4"))
    assert report.figures["loss"]["validation_after"] < report.figures["loss"]["validation_before"] - 0.1
    after = load_model(tmp_path / "qlora", "auto")
    assert after.dtype == torch.float32
    assert not hasattr(after.config, "quantization_config")
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_pretrained(
        tuning_base, quantization_config=four_bits, dtype=torch.float32
    )
    for layer in base.modules():
        layer.support_avx512bf16_for_cpu = False  # see kajiya.lm.tuning.adapters
    assert difference(logits(base), logits(load_model(tuning_base, "auto"))) > 0.01
    adapted = PeftModel.from_pretrained(base, tmp_path / "qlora" / "adapter")
    assert difference(logits(after), logits(adapted)) < 1e-4


def test_qlora_without_bitsandbytes_says_what_to_install(tuning_base, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(KajiyaError, match=r"pip install 'kajiya\[qlora\]'"):
        add_lora(tuning_base, LoraSettings(base="nf4"), torch.float32)


def test_merge_that_changes_what_the_model_says_is_refused(tuning_base):
    model = add_lora(tuning_base, LoraSettings(rank=2), torch.float32)
    merged = merge(model, tuning_base)
    assert require_same_logits(model, merged, IDS.tolist()) < 1e-5
    with torch.no_grad():
        merged.model.layers[0].mlp.up_proj.weight.mul_(1.5)
    with pytest.raises(KajiyaError, match="It was not written"):
        require_same_logits(model, merged, IDS.tolist())
