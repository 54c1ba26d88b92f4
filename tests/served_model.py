"""Small models to chat with and to serve: random weights, the tokenizer and template of kajiya's own."""

from pathlib import Path

import torch
from tiny_corpus import write_corpus, write_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from kajiya.lm.conversations import ROLE_TEMPLATE
from kajiya.lm.tokenizer import copy_tokenizer


def write_tokenizer_of_corpus(folder: Path) -> Path:
    return write_tokenizer(folder / "tokenizer", write_corpus(folder / "corpus"))


def write_pair(folder: Path, tokenizer: Path, context: int = 512) -> tuple[Path, Path]:
    """A model with a chat template, and a draft that often guesses right: the model with noise."""
    torch.manual_seed(5)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=440,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=context,
            initializer_range=0.4,
            bos_token_id=1,
            eos_token_id=1,
        )
    )
    with torch.no_grad():  # end of sequence and padding never come by themselves
        model.lm_head.weight *= 3  # sure of what it says, or a draft would not dare to guess
        model.lm_head.weight[:3] = 0
        model.save_pretrained(folder / "model")
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.03)
        model.save_pretrained(folder / "draft")
    for name in ("model", "draft"):
        copy_tokenizer(tokenizer, folder / name)
        (folder / name / "chat_template.jinja").write_text(ROLE_TEMPLATE)
    return folder / "model", folder / "draft"
