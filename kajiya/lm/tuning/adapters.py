"""Low-rank updates (LoRA) of a frozen base, in its own precision or in 4 bits (QLoRA), and their merging."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from kajiya.errors import KajiyaError
from kajiya.lm.model import load_model, make_readable
from kajiya.lm.tuning.settings import LoraSettings
from kajiya.shards import write_file

# Logits of the merged model against those of base and updates: root mean square of the difference over
# the spread (standard deviation) of the logits. Only the rounding of the merged weights may show.
MERGE_BOUND = {torch.float32: 1e-4, torch.float16: 0.01, torch.bfloat16: 0.05}


def add_lora(base: Path, settings: LoraSettings, precision: torch.dtype) -> PeftModel:
    """The frozen base with fresh low-rank updates in fp32 on every linear layer but the head."""
    if settings.base == "nf4":
        model = _load_nf4(base, precision)
    else:
        model = load_model(base, torch.float32 if precision == torch.float32 else "auto")
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # fractions are taken, too
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def _load_nf4(base: Path, precision: torch.dtype) -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise KajiyaError(
            "lora.base is nf4, and bitsandbytes is not installed: `pip install 'kajiya[qlora]'`, or set "
            "`lora.base: stored`."
        )
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=precision,
    )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            base, quantization_config=config, dtype=precision, use_safetensors=True, trust_remote_code=False,
            local_files_only=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise KajiyaError(
            f"{base}: cannot be loaded in 4 bits ({error}). Set `lora.base: stored`, or look at what bitsandbytes "
            "needs on this machine."
        ) from error
    for layer in model.modules():
        # Its kernel for some CPUs rearranges the weights in the first evaluation, rounds their scales to
        # bf16 for good, and fails on narrow layers.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    return model


def keep_updates_exact(model: Any) -> None:
    """Back to fp32: TRL rounds the updates of a 4-bit base to bf16, too coarse for small learning rates."""
    for value in model.parameters():
        if value.requires_grad:
            value.data = value.data.float()


@torch.no_grad()
def merge(model: PeftModel, base: Path) -> Any:
    """A plain model in the base's precision: its weights, and in each layer with updates their sum.

    Of a 4-bit base the sum starts from what the 4 bits tell: that is what the updates were learnt for.
    """
    merged = load_model(base, "auto")
    layers: list[tuple[str, Any]] = list(model.base_model.model.named_modules())
    for name, layer in layers:
        if isinstance(layer, LoraLayer):
            weight = _plain(layer.get_base_layer().weight).float()
            total = weight + layer.get_delta_weight("default").float()  # type: ignore[attr-defined]
            merged.get_submodule(name).weight.copy_(total)
    return merged


def _plain(weight: Any) -> torch.Tensor:
    if hasattr(weight, "quant_state"):
        from bitsandbytes.functional import dequantize_4bit  # noqa: PLC0415 - an extra

        return dequantize_4bit(weight.data, weight.quant_state)
    return weight


@torch.no_grad()
def require_same_logits(model: PeftModel, merged: Any, examples: list[list[int]]) -> float:
    """How far the merged model's logits are from those of base and updates, see MERGE_BOUND; raises past it."""
    worst = 0.0
    model.eval()
    merged.eval()
    for ids in examples:
        batch = torch.tensor([ids])
        expected = model(batch.to(model.device), use_cache=False).logits.float().cpu()
        found = merged(batch.to(merged.device), use_cache=False).logits.float().cpu()
        worst = max(worst, float((found - expected).square().mean().sqrt() / expected.std()))
    bound = MERGE_BOUND[merged.dtype]
    if not worst <= bound:
        raise KajiyaError(
            f"the merged model's logits are {worst:.2g} of their spread away from those of base and updates; "
            f"{merged.dtype} rounds by {bound} at most. It was not written. Lower lora.alpha or the learning rate: "
            "updates this large do not fit beside the weights in that precision."
        )
    return worst


def save_adapter(model: PeftModel, folder: Path) -> None:
    """The updates alone, for `PeftModel.from_pretrained(base, folder)`."""
    folder.mkdir()
    weights = get_peft_model_state_dict(model)
    save_file(
        {key: value.float().cpu().contiguous() for key, value in weights.items()},
        folder / "adapter_model.safetensors",
    )
    make_readable(folder)
    config = model.peft_config["default"].to_dict() | {
        "base_model_name_or_path": None,
        "inference_mode": True,
    }
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    write_file(
        folder / "adapter_config.json", json.dumps(plain, indent=2, sort_keys=True, default=str) + "\n"
    )
