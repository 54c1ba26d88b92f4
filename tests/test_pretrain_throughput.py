"""FLOP counts and MFU against figures computed by hand, and the loss of each source."""

import numpy as np
import pytest
import torch
from test_pretrain import write_tokens
from transformers import LlamaConfig

from components.pretrain.source_losses import LabelSources, means
from components.pretrain.throughput import (
    Meter,
    append_line,
    matmul_parameters,
    mfu,
    peak_flops,
    training_flops_per_token,
)
from kajiya.lm.packing import TokenDataset
from kajiya.report_pages.records import read_lines


def llama_7b(**changes: object) -> LlamaConfig:
    shape = {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32,
    }  # fmt: skip
    return LlamaConfig(**(shape | changes))


def test_parameters_multiplied_are_all_but_input_embeddings_and_norms():
    # Llama-2 7B: 6,738,415,616 parameters, of which 131,072,000 embeddings and 65 norms of 4,096.
    assert matmul_parameters(llama_7b()) == 6_738_415_616 - 131_072_000 - 65 * 4096


def test_flops_of_7b_at_2048_are_those_of_the_formula_of_palm():
    # 6 x 6,607,077,376 = 39.642 GFLOP; attention 12 x 32 x 4096 x 2048 = 3.221 GFLOP.
    assert training_flops_per_token(llama_7b(), 2048, causal=False) == 6 * 6_607_077_376 + 3_221_225_472
    assert training_flops_per_token(llama_7b(), 2048) == 6 * 6_607_077_376 + 1_610_612_736


def test_grouped_keys_save_parameters_but_no_attention_products():
    whole, grouped = llama_7b(), llama_7b(num_key_value_heads=8)
    # Keys and values of 24 of 32 heads are not there: 2 x 4096 x 24 x 128 weights in each of 32 layers.
    saved = 32 * 2 * 4096 * 24 * 128
    assert matmul_parameters(whole) - matmul_parameters(grouped) == saved
    difference = training_flops_per_token(whole, 2048) - training_flops_per_token(grouped, 2048)
    assert difference == 6 * saved


def test_mfu_of_a_published_run_is_the_published_one():
    # llm-foundry, 7B on A100-80: 4,641 tokens/s at sequence 2048, 64 % (it counts attention in full).
    flops = training_flops_per_token(llama_7b(), 2048, causal=False)
    assert mfu(4641, flops, 312e12) == pytest.approx(0.64, abs=0.01)


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA H20", 148),
        ("NVIDIA H200 NVL", 835),
        ("NVIDIA GH200 480GB", 989),
        ("NVIDIA B200", 2250),
        ("NVIDIA L4", 121),
        ("NVIDIA L40", 181),
        ("NVIDIA A10", 125),
        ("NVIDIA L40S", 362),
        ("NVIDIA A10G", 70),
        ("NVIDIA GeForce RTX 4090", 165),
        ("Tesla V100-SXM2-16GB", 125),
        ("Tesla V100-PCIE-32GB", 112),
        ("Tesla T4", 65),
    ],
)
def test_peak_is_the_dense_one_of_the_data_sheet(name, teraflops):
    assert peak_flops(name) == teraflops * 1e12


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Radeon Something",
        "NVIDIA GB200",
        "NVIDIA A100-SXM4-80GB MIG 1g.10gb",
        "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA RTX A4000",
        "NVIDIA T400",
    ],
)
def test_peak_of_an_unknown_device_is_not_guessed(name):
    assert peak_flops(name) is None


def test_peak_of_bf16_is_not_taken_for_fp32():
    assert peak_flops("NVIDIA H200", "fp32") is None


def test_meter_started_again_has_forgotten_what_was_before():
    meter = Meter(llama_7b(), 2048, torch.device("cpu"), ranks=1)
    meter.wait(lambda: "batch")
    meter.add(4096)
    meter.start()
    measured = meter.read()
    assert measured["tokens_per_second"] == measured["data_wait_share"] == 0


def test_meter_tells_what_was_done_since_the_last_reading():
    meter = Meter(llama_7b(), 2048, torch.device("cpu"), ranks=1)
    assert meter.wait(lambda: "batch") == "batch"
    meter.add(4096)
    first, second = meter.read(), meter.read()
    assert first["tokens_per_second"] > 0 == second["tokens_per_second"]
    assert 0 < first["data_wait_share"] <= 1
    assert second["data_wait_share"] == 0
    assert first["peak_memory_gb"] > 0.05
    assert "mfu" not in first  # a CPU has no peak to compare with


def test_lines_go_on_after_one_that_a_kill_cut(tmp_path):
    append_line(tmp_path, {"step": 10, "tokens_per_second": 5.0})
    with open(tmp_path / "throughput.jsonl", "a") as handle:
        handle.write('{"step": 20, "tok\n')
    append_line(tmp_path, {"step": 20, "tokens_per_second": 6.0})
    assert [row["step"] for row in read_lines(tmp_path / "throughput.jsonl")] == [10, 20]


def test_loss_of_each_source_is_the_mean_over_its_labels(tmp_path):
    dataset = TokenDataset(write_tokens(tmp_path / "t"), "train", 16)
    sources = LabelSources(dataset)
    sequences = np.array([3, 0])  # labels 49 ... 64, of which the first is Wikipedia's, and 1 ... 16
    losses = torch.arange(32, dtype=torch.float32).view(2, 16)
    found = means(sources.sums(sequences, losses), sources.names, torch.device("cpu"))
    wikipedia = [0, *range(16, 32)]
    assert found == {
        "loss/diet": sum(range(1, 16)) / 15,
        "loss/wikipedia": sum(wikipedia) / 17,
    }
