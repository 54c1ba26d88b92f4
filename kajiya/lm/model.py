"""A Llama-architecture model: its shape, its weights from scratch or from a folder, its HF folder.

Only safetensors are read and written: a pickled checkpoint can run code.
"""

from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM

from kajiya.errors import KajiyaError
from kajiya.lm.shape import LlamaShape
from kajiya.lm.tokenizer import copy_tokenizer


def llama_config(shape: LlamaShape, vocabulary_size: int, special_ids: dict[str, int | None]) -> LlamaConfig:
    """The transformers config of `shape`. special_ids: bos_token_id, eos_token_id, pad_token_id."""
    return LlamaConfig(
        vocab_size=vocabulary_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.feed_forward_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.context,
        tie_word_embeddings=shape.tied_embeddings,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        initializer_range=shape.initializer_range,
        **cast("Any", special_ids),
    )


def fresh_model(config: LlamaConfig, seed: int) -> LlamaForCausalLM:
    """A model with random fp32 weights that depend on the config and the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def load_model(folder: Path, dtype: torch.dtype | Literal["auto"], config: Any = None) -> Any:
    """A causal model from an HF folder: config.json and safetensors, never a pickle or remote code.

    dtype "auto" keeps the precision that config.json names. config: taken in the place of the folder's own.
    """
    more = {} if config is None else {"config": config}
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise KajiyaError(f"{folder}: no HF model here: config.json and *.safetensors are needed.")
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True, **more
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise KajiyaError(f"{folder}: the model does not load ({error}).") from error


def stored_dtype(folder: Path) -> torch.dtype:
    """What an HF folder's weights are really stored in; fp32 where that differs between them."""
    known = {"F16": torch.float16, "BF16": torch.bfloat16}
    found = set()
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, framework="pt") as weights:
                found |= {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no dict
        except (OSError, SafetensorError) as error:
            raise KajiyaError(f"{path}: not readable as safetensors ({error}). Fetch it again.") from error
    return known.get(found.pop(), torch.float32) if len(found) == 1 else torch.float32


def read_config(folder: Path) -> Any:
    """The transformers config of an HF folder, without its weights."""
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError) as error:
        raise KajiyaError(f"{folder}/config.json: not a readable model config ({error}).") from error


def save_model(model: Any, state: dict[str, torch.Tensor], tokenizer: Path, out: Path) -> None:
    """Write an HF folder: safetensors from `state`, config, generation config, tokenizer files."""
    config = model.config
    # Greedy is what evaluation compares; a fixed config keeps sampling defaults out of the folder.
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    config.use_cache = True
    model.save_pretrained(out, state_dict=state, max_shard_size="5GB")
    make_readable(out)
    copy_tokenizer(tokenizer, out)


def make_readable(folder: Path) -> None:
    """Let everybody read the weights: safetensors makes its files private to their writer."""
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)
