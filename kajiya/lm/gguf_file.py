"""A Llama in Hugging Face's form as one GGUF file, for llama.cpp and what is built on it.

The rows of q and k are moved from transformers' halves to the neighbouring pairs that llama.cpp turns, as its own
conversion does. Tensors pass through memory one at a time. What llama.cpp would compute otherwise
(another architecture, a scaled rotary embedding, a tokenizer of another kind) is refused.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gguf import (
    GGML_QUANT_SIZES,
    GGUF_DEFAULT_ALIGNMENT,
    MODEL_ARCH,
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
    get_tensor_name_map,
)
from gguf.quants import quantize
from numpy.typing import NDArray
from safetensors import safe_open

from kajiya.errors import KajiyaError
from kajiya.lm.gguf_vocabulary import read_vocabulary
from kajiya.lm.model import read_config

_TYPES = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bf16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q5_1": (GGMLQuantizationType.Q5_1, LlamaFileType.MOSTLY_Q5_1),
    "q5_0": (GGMLQuantizationType.Q5_0, LlamaFileType.MOSTLY_Q5_0),
    "q4_1": (GGMLQuantizationType.Q4_1, LlamaFileType.MOSTLY_Q4_1),
    "q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}
_QUANTIZATION_VERSION = 2  # of the blocks above: GGML_QNT_VERSION
_EMBEDDINGS = ("token_embd.weight", "output.weight")
_LARGEST_F16 = 65504.0


class Tensor(NamedTuple):
    """A tensor of the file, and where its values are."""

    name: str
    source: str
    path: Path
    shape: tuple[int, ...]
    type: GGMLQuantizationType

    @property
    def bytes(self) -> int:
        values, size = GGML_QUANT_SIZES[self.type]
        return math.prod(self.shape) // values * size


class Written(NamedTuple):
    tensors: int
    bytes: int
    notes: list[str]
    """What is not as its reader may expect."""


def convert_gguf(folder: Path, out: Path, kind: str, name: str) -> Written:
    """Write `out`, whole or not at all. kind: a key of _TYPES; name: what the file calls the model."""
    if out.exists():
        raise KajiyaError(f"{out}: is there already. Name a new file.")
    config = _checked_config(folder)
    vocabulary = read_vocabulary(folder, config.vocab_size)
    wanted, file_type = _TYPES[kind]
    tensors = list(_tensors(folder, config, wanted))
    partial = out.with_name(f"{out.name}.partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        writer = GGUFWriter(partial, "llama")
        _add_shape(writer, config, name, file_type)
        vocabulary.add_to(writer)
        for tensor in tensors:
            writer.add_tensor_info(
                tensor.name, tensor.shape, np.dtype(np.float32), tensor.bytes, raw_dtype=tensor.type
            )
        _write(writer, tensors, config)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    notes = [*_notes(tensors, wanted), *vocabulary.notes()]
    return Written(len(tensors), out.stat().st_size, notes)


def _checked_config(folder: Path) -> Any:
    config = read_config(folder)
    if getattr(config, "quantization_config", None) is not None:
        raise KajiyaError(
            f"{folder}: is quantized, and llama.cpp does not read its packed weights. Convert the full model that it was "
            "made from (`of` in the recipe, or `kajiya lineage NAME/VERSION`) with --type q4_0 or q8_0."
        )
    if config.model_type != "llama" or config.hidden_act != "silu":
        raise KajiyaError(
            f"{folder}: {config.model_type} with {config.hidden_act}; only Llama with silu is converted. "
            "convert_hf_to_gguf.py of llama.cpp knows other architectures."
        )
    kind = (config.rope_parameters or {}).get("rope_type", "default")
    if kind != "default":
        raise KajiyaError(
            f"{folder}: its rotary embedding is scaled ({kind}), which this command does not carry. Use "
            "convert_hf_to_gguf.py of llama.cpp."
        )
    return config


def _add_shape(writer: GGUFWriter, config: Any, name: str, file_type: LlamaFileType) -> None:
    head = _head_size(config)
    writer.add_type("model")
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(file_type)
    writer.add_quantization_version(_QUANTIZATION_VERSION)
    writer.add_custom_alignment(GGUF_DEFAULT_ALIGNMENT)


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _tensors(folder: Path, config: Any, wanted: GGMLQuantizationType) -> Iterator[Tensor]:
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise KajiyaError(f"{folder}: no *.safetensors. Other forms of weights are not read.")
    for path in paths:
        with safe_open(path, "pt") as file:
            for source in sorted(file.keys()):
                if source == "lm_head.weight" and config.tie_word_embeddings:
                    continue
                # Older folders hold what follows from the config; llama.cpp counts tensors and wants none of it.
                if source.endswith(".rotary_emb.inv_freq"):
                    continue
                name = names.get_name(source, try_suffixes=(".weight", ".bias"))
                if name is None:
                    raise KajiyaError(f"{path}: {source} is no tensor of a Llama as llama.cpp knows it.")
                shape = tuple(file.get_slice(source).get_shape())
                yield Tensor(name, source, path, shape, tensor_type(name, shape, wanted))


def tensor_type(name: str, shape: tuple[int, ...], wanted: GGMLQuantizationType) -> GGMLQuantizationType:
    """Norms in f32; embeddings and head in 8 bits at least; f16 where a row is not made of whole blocks."""
    if len(shape) < 2:
        return GGMLQuantizationType.F32
    values, size = GGML_QUANT_SIZES[wanted]
    if name in _EMBEDDINGS and size < values:
        wanted = GGMLQuantizationType.Q8_0
    return wanted if shape[-1] % GGML_QUANT_SIZES[wanted][0] == 0 else GGMLQuantizationType.F16


def _notes(tensors: list[Tensor], wanted: GGMLQuantizationType) -> Iterator[str]:
    finer = [tensor for tensor in tensors if tensor.type == GGMLQuantizationType.F16 != wanted]
    if finer:
        yield (
            f"{len(finer)} tensors are in f16, since their rows are not made of whole blocks of "
            f"{GGML_QUANT_SIZES[wanted][0]}: {finer[0].name}, {finer[0].shape[-1]} wide, and the like."
        )


def _write(writer: GGUFWriter, tensors: list[Tensor], config: Any) -> None:
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            writer.write_tensor_data(_values(tensor, config))
    finally:
        writer.close()


def _values(tensor: Tensor, config: Any) -> NDArray[Any]:
    with safe_open(tensor.path, "pt") as file:
        values = file.get_tensor(tensor.source).to(torch.float32).numpy()
    largest = float(np.abs(values).max())
    if not math.isfinite(largest):
        raise KajiyaError(f"{tensor.path}: {tensor.source} holds numbers that are not finite.")
    if tensor.type == GGMLQuantizationType.F16 and largest > _LARGEST_F16:
        raise KajiyaError(f"{tensor.path}: {tensor.source} holds {largest:g}, too much for f16: --type bf16.")
    if tensor.name.endswith(("attn_q.weight", "attn_k.weight", "attn_q.bias", "attn_k.bias")):
        values = pairs_from_halves(values, _head_size(config))
    return np.ascontiguousarray(quantize(values, tensor.type))


def pairs_from_halves(rows: NDArray[Any], head_size: int) -> NDArray[Any]:
    """The rows of q or k in llama.cpp's order, shape kept.

    transformers turns dimension i of a head with i + head_size / 2, llama.cpp turns neighbours (0, 1), (2, 3), ...
    """
    halves = rows.reshape(-1, 2, head_size // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)
