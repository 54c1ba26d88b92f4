"""How fast a training runs: tokens per second, model FLOP utilisation, memory, waiting for data.

None of it may stand in OUT, since it differs from run to run: it goes to `throughput.jsonl` beside it, and live
to MLflow.
"""

import json
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

Loaded = TypeVar("Loaded")

# Dense bf16 TFLOP/s of tensor cores from NVIDIA's data sheets, where those name a figure with sparsity half of it.
# V100 and T4 have no bf16: fp16. The first pattern that is found as whole words counts.
_PEAKS = (
    (r"B200", 2250.0),
    (r"H[18]00 PCIe", 756.0),
    (r"H[12]00 NVL", 835.0),
    (r"H20", 148.0),
    (r"H100|H200|H800|GH200", 989.0),
    (r"A100|A800", 312.0),
    (r"A30", 165.0),
    (r"A40", 150.0),
    (r"A10G", 70.0),
    (r"A10", 125.0),
    (r"L40S", 362.0),
    (r"L40", 181.0),
    (r"L4", 121.0),
    (r"RTX 4090", 165.0),
    (r"RTX 3090", 71.0),
    (r"V100-PCIE", 112.0),
    (r"V100", 125.0),
    (r"T4", 65.0),
)
# A slice of a device (MIG), and cards that share a name but not its speed.
_OTHERS = r"MIG|Laptop|Max-Q|Ti|D"


def peak_flops(device_name: str, precision: str = "bf16") -> float | None:
    """Dense FLOP/s of a device as torch names it, in bf16; None where we know none.

    None for CPUs, for parts of a device (MIG), and in fp32, whose peak depends on whether TF32 is allowed.
    """
    if precision != "bf16" or _is_word(_OTHERS, device_name):
        return None
    for pattern, teraflops in _PEAKS:
        if _is_word(pattern, device_name):
            return teraflops * 1e12
    return None


def _is_word(pattern: str, name: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])", name) is not None


def matmul_parameters(config: Any) -> int:
    """Weights that every token is multiplied with: all but norms and the input embeddings.

    config: of an HF model of the Llama family. The output embeddings count also when they are tied.
    """
    width, heads = config.hidden_size, config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_size = getattr(config, "head_dim", None) or width // heads
    attention = width * head_size * (2 * heads + 2 * kv_heads)  # queries and output, keys and values
    layer = attention + 3 * width * config.intermediate_size
    return int(config.num_hidden_layers * layer + config.vocab_size * width)


def training_flops_per_token(config: Any, context: int, causal: bool = True) -> float:
    """FLOP of forward and backward pass per token: 6 N + 12 layers x width x context (PaLM, appendix B).

    N: `matmul_parameters`. Width: of all query heads, since grouped keys and values save memory, not
    products. causal: only half of the context is seen on average, which is what a fast kernel computes; without
    it the figure is that of PaLM and llm-foundry, and MFU comes out higher. What activation checkpointing
    computes twice is not counted: this is MFU, not HFU. Borders of documents are not taken off.
    """
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = 12 * config.num_hidden_layers * config.num_attention_heads * head_size * context
    return 6.0 * matmul_parameters(config) + attention * (0.5 if causal else 1.0)


def mfu(tokens_per_second: float, flops_per_token: float, peak: float) -> float:
    """Model FLOP utilisation of one device, from its own tokens per second."""
    return tokens_per_second * flops_per_token / peak


class Meter:
    """Measures the steps of one rank between two readings; validation and checkpoints in between count as time."""

    def __init__(
        self, config: Any, context: int, device: torch.device, ranks: int, precision: str = "bf16"
    ) -> None:
        self._flops = training_flops_per_token(config, context)
        self._device, self._ranks = device, ranks
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        self._peak = peak_flops(name, precision)
        self.start()

    def start(self) -> None:
        """Forget what was before: loading a model and a checkpoint is no training."""
        self._tokens, self._waited, self._began = 0, 0.0, time.perf_counter()

    def wait(self, load: Callable[[], Loaded]) -> Loaded:
        """What `load` gives; while it loads, the device waits for data."""
        began = time.perf_counter()
        loaded = load()
        self._waited += time.perf_counter() - began
        return loaded

    def add(self, tokens: int) -> None:
        """A step is done that computed with so many tokens, over all ranks; one that is left out has none."""
        self._tokens += tokens

    def read(self) -> dict[str, float]:
        """What was measured since the last reading."""
        seconds = time.perf_counter() - self._began
        speed = self._tokens / seconds
        measured = {
            "tokens_per_second": round(speed, 1),
            "data_wait_share": round(self._waited / seconds, 6),
            "peak_memory_gb": round(_peak_memory_bytes(self._device) / 1e9, 3),
        }
        if self._peak:
            measured["mfu"] = round(mfu(speed / self._ranks, self._flops, self._peak), 4)
        self.start()
        return measured


def _peak_memory_bytes(device: torch.device) -> int:
    """Of the GPU, or without one of this process in the host's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def append_line(folder: Path, row: dict[str, float]) -> None:
    """Add a row to `throughput.jsonl`, which goes on over restarts."""
    path = folder / "throughput.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(row) + "\n")
