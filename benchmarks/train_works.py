"""What the training benchmark measures: works, and who does them beside us."""

from collections.abc import Mapping
from typing import Any, NamedTuple

_CONSTANT = {"warmup_steps": 0, "final_fraction": 1.0}
CPU = {
    "model": {"hidden_size": 384, "layers": 6, "heads": 6, "ffn_size": 1024, "context": 512},
    "schedule": _CONSTANT, "global_batch_sequences": 4, "micro_batch_sequences": 4, "threads_per_rank": 1,
    "log_every_steps": 10,
}  # fmt: skip
_1B = {
    "model": {"hidden_size": 2048, "layers": 24, "heads": 16, "context": 2048}, "schedule": _CONSTANT,
    "global_batch_sequences": 32, "micro_batch_sequences": 8, "precision": "bf16", "compile": True,
}  # fmt: skip
_7B = {
    "model": {"hidden_size": 4096, "layers": 24, "heads": 32, "context": 2048}, "schedule": _CONSTANT,
    "global_batch_sequences": 16, "micro_batch_sequences": 4, "precision": "bf16", "compile": True,
    "activation_checkpointing": True,
}  # fmt: skip


class Work(NamedTuple):
    title: str
    settings: Mapping[str, Any]
    vocabulary: int
    peers: tuple[str, ...]
    mfu_goal: float | None
    ratio_goal: float | None
    gpu: bool


_SMALL = "6 layers x 384, 32,000 pieces, 4 sequences of 512"
_FP32 = ("hf", "hf-memory")
_BF16 = ("hf", "hf-memory", "hf-weights", "hf-weights-memory")
WORKS = {
    "cpu-fp32": Work(f"train on a CPU, fp32: {_SMALL}", CPU | {"precision": "fp32"}, 32000, _FP32, None, 1.3, False),
    "cpu-bf16": Work(f"train on a CPU, bf16: {_SMALL}", CPU | {"precision": "bf16"}, 32000, _BF16, None, 1.3, False),
    "gpu-1.3b": Work("train 1.3B on one GPU, bf16, sequence 2048", _1B, 50000, ("hf", "plain"), 0.5, None, True),
    "gpu-7b": Work("train the shape of 7B, layers that fit, bf16", _7B, 32000, ("hf", "plain"), None, None, True),
}  # fmt: skip
LOADER = "loader"


class Peer(NamedTuple):
    title: str
    contender: str
    options: Mapping[str, str] = {}
    memory: bool = False


_WEIGHTS = {"weights": "bf16"}
PEERS = {
    "hf": Peer("HF Trainer as users start it", "hf"),
    "hf-memory": Peer("HF Trainer, our memory settings", "hf", memory=True),
    "hf-weights": Peer("HF Trainer, weights in bf16", "hf", _WEIGHTS),
    "hf-weights-memory": Peer(
        "HF Trainer, weights in bf16, our memory settings", "hf", _WEIGHTS, memory=True
    ),
    "plain": Peer("plain loop (nanoGPT's style)", "plain"),
}
OURS = Peer("kajiya", "ours", memory=True)
