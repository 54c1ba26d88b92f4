"""Checkpoints of llama2.c (karpathy/llama2.c) as Hugging Face folders.

Its legacy ("version 0") file is 28 bytes of header, seven little-endian int32, then float32 weights:
embedding, the layers' tensors each for all layers together, last norm, two tables of rotary angles that
nobody reads any more, and the output head, unless it is tied (a vocabulary size below zero says that it
is not). It names neither the rotary base nor the norms' epsilon: llama2.c fixes them.
"""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from kajiya.errors import KajiyaError
from kajiya.lm.llama2c_tokenizer import BEGIN, END, write_llama2c_tokenizer
from kajiya.lm.model import make_readable

_HEADER_BYTES = 28
_ROPE_THETA, _NORM_EPSILON = 10_000.0, 1e-5

# "ak42": how the later versions of the format begin.
_MAGIC = 0x616B3432

# Far beyond any Llama, far below what would make the product of two overflow or a loop endless.
_LARGEST = 1 << 24


class Header(NamedTuple):
    """The seven numbers in their order in the file; `vocabulary` is negative with a head of its own."""

    width: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    @property
    def tied(self) -> bool:
        return self.vocabulary > 0


def convert_llama2c(checkpoint: Path, tokenizer: Path, out: Path) -> Header:
    """Write `out`: safetensors in fp32, config, tokenizer. Raises KajiyaError for a file that does not add up.

    checkpoint, tokenizer: as llama2.c's export.py and tokenizer.py write them (model.bin, tokenizer.bin).
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise KajiyaError(f"{out}: is there already, and not an empty folder. Name a new one.")
    header = read_header(checkpoint)
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write_llama2c_tokenizer(tokenizer, abs(header.vocabulary), header.context, partial)
        _write_model(checkpoint, header, partial)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return header


def read_header(path: Path) -> Header:
    """The header of a checkpoint, when it makes a Llama and the file is exactly as long as it says."""
    try:
        size = path.stat().st_size
        numbers = np.fromfile(path, "<i4", 7).tolist()
    except OSError as error:
        raise KajiyaError(f"{path}: cannot be read ({error.strerror}).") from None
    if len(numbers) < 7:
        raise KajiyaError(f"{path}: {size} bytes are less than llama2.c's header of {_HEADER_BYTES}.")
    if numbers[0] == _MAGIC:
        raise KajiyaError(
            f"{path}: version {numbers[1]} of llama2.c's format; only the legacy one (0) is read. Write it by "
            "`python export.py model.bin --version 0 ...` in llama2.c."
        )
    header = Header(*numbers)
    if problem := _header_problem(header):
        raise KajiyaError(
            f"{path}: not a llama2.c checkpoint, or a damaged one: {problem}. Header: {header}."
        )
    expected = _HEADER_BYTES + 4 * sum(math.prod(shape) for _, shape in layout(header))
    if size != expected:
        state = "it was cut short" if size < expected else "something follows the weights"
        raise KajiyaError(f"{path}: {size} bytes, its header asks for {expected}: {state}. Header: {header}.")
    return header


def _header_problem(header: Header) -> str:
    for name, number in header._asdict().items():
        number = abs(number) if name == "vocabulary" else number  # noqa: PLW2901
        if not 1 <= number <= _LARGEST:
            return f"{name} is {number}"
    if header.width % header.heads or header.head_size % 2:
        return f"{header.heads} heads do not divide a width of {header.width} into even sizes"
    if header.heads % header.kv_heads:
        return f"{header.kv_heads} key-value heads do not divide {header.heads} heads"
    return ""


def layout(header: Header) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors in the order of the file; `layers.*` hold all layers."""
    width, ffn, layers = header.width, header.ffn, header.layers
    kv_width = header.kv_heads * header.head_size
    vocabulary, angles = abs(header.vocabulary), (header.context, header.head_size // 2)
    tensors: list[tuple[str, tuple[int, ...]]] = [
        ("embed_tokens", (vocabulary, width)),
        ("layers.input_layernorm", (layers, width)),
        ("layers.self_attn.q_proj", (layers, width, width)),
        ("layers.self_attn.k_proj", (layers, kv_width, width)),
        ("layers.self_attn.v_proj", (layers, kv_width, width)),
        ("layers.self_attn.o_proj", (layers, width, width)),
        ("layers.post_attention_layernorm", (layers, width)),
        ("layers.mlp.gate_proj", (layers, ffn, width)),
        ("layers.mlp.down_proj", (layers, width, ffn)),
        ("layers.mlp.up_proj", (layers, ffn, width)),
        ("norm", (width,)),
        ("cosines", angles),
        ("sines", angles),
    ]
    return tensors if header.tied else [*tensors, ("lm_head", (vocabulary, width))]


def _write_model(checkpoint: Path, header: Header, out: Path) -> None:
    config = _config(header)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    weights = dict(_weights(checkpoint, header))
    # llama2.c ends at either: its pretraining put <s> between documents, and nothing after them.
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=[config.eos_token_id, config.bos_token_id]
    )
    model.save_pretrained(out, state_dict=weights, max_shard_size="5GB")
    make_readable(out)


def _config(header: Header) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=abs(header.vocabulary),
        hidden_size=header.width,
        intermediate_size=header.ffn,
        num_hidden_layers=header.layers,
        num_attention_heads=header.heads,
        num_key_value_heads=header.kv_heads,
        max_position_embeddings=header.context,
        rms_norm_eps=_NORM_EPSILON,
        rope_parameters={"rope_type": "default", "rope_theta": _ROPE_THETA},
        tie_word_embeddings=header.tied,
        bos_token_id=BEGIN,
        eos_token_id=END,
        dtype=torch.float32,
    )


def _weights(path: Path, header: Header) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor by its name in transformers, through a memory map: a large model is not read twice."""
    content: Any = np.memmap(path, "<f4", mode="c", offset=_HEADER_BYTES)
    at = 0
    for name, shape in layout(header):
        values = content[at : at + math.prod(shape)].reshape(shape)
        at += values.size
        if name == "cosines":
            _check_angles(values, header, path)
        elif name != "sines":
            if not np.isfinite(values).all():
                raise KajiyaError(f"{path}: {name} holds numbers that are not finite. The file is damaged.")
            yield from _renamed(name, values, header)


def _renamed(name: str, values: NDArray[Any], header: Header) -> Iterator[tuple[str, torch.Tensor]]:
    if not name.startswith("layers."):
        yield f"{name}.weight" if name == "lm_head" else f"model.{name}.weight", torch.from_numpy(values)
        return
    rest = name.removeprefix("layers.")
    for layer, tensor in enumerate(values):
        if rest.endswith(("q_proj", "k_proj")):
            tensor = halves_from_pairs(tensor, header.head_size)  # noqa: PLW2901
        yield f"model.layers.{layer}.{rest}.weight", torch.from_numpy(tensor)


def halves_from_pairs(rows: NDArray[Any], head_size: int) -> NDArray[Any]:
    """The rows of q or k in transformers' order, shape kept.

    llama2.c turns neighbours (0, 1), (2, 3), ... of a head by one angle, transformers turns dimension i
    with i + head_size / 2. Queries and keys moved alike give the same products.
    """
    pairs = rows.reshape(-1, head_size // 2, 2, rows.shape[-1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


def _check_angles(cosines: NDArray[Any], header: Header, path: Path) -> None:
    """Raise KajiyaError where the table tells of another rotary base: llama2.c would run it wrongly, too.

    A table of zeros is taken: nobody reads it, and some writers leave it out so.
    """
    frequencies = _ROPE_THETA ** (-np.arange(0, header.head_size, 2) / header.head_size)
    last = min(header.context, 64) - 1  # further on, float32 rounds too much to compare
    if cosines.any() and not np.allclose(cosines[last], np.cos(last * frequencies), atol=1e-2):
        raise KajiyaError(
            f"{path}: its table of rotary angles was not made with the base {_ROPE_THETA:.0f} that llama2.c "
            "uses, so its positions would be misread. Convert the model it was exported from instead."
        )
