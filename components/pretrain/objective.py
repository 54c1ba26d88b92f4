"""The training objective around an HF causal model: the loss of every next token."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from components.pretrain.lean import make_lean
from components.pretrain.loss import linear_cross_entropy, materialised_cross_entropy
from components.pretrain.settings import PretrainSettings

# Their logits are one product of the last hidden states and the output embeddings; others scale or cap them.
_PLAIN_HEADS = {"llama", "mistral", "qwen2", "qwen3"}


class NextTokenLoss(nn.Module):
    """Cross entropy of predicting tokens[:, 1:] from tokens[:, :-1], in fp32."""

    def __init__(self, model: Any, config: PretrainSettings, end_of_sequence: int) -> None:
        super().__init__()
        self.causal = model
        self._within = config.attention == "within_documents"
        self._end_of_sequence = end_of_sequence
        plain = model.config.model_type in _PLAIN_HEADS
        self.head = _Head(model.get_output_embeddings().weight) if plain else None
        if self._within and torch.cuda.is_available():
            # Over blocks: SDPA would take a mask of context x context and lose its fast kernel. Not FlashAttention,
            # for which transformers looks for borders in batches of one sequence only.
            model.set_attn_implementation("flex_attention")
        if config.compile:
            for layer in model.base_model.layers:
                layer.compile(dynamic=False)  # all layers are one program: seconds, not minutes
        else:
            make_lean(model)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """tokens: (sequences, context + 1). Returns the mean loss, and (detached) that of every label."""
        inputs, labels = tokens[:, :-1], tokens[:, 1:]
        # Without a cache: with one transformers does not look for borders.
        arguments = {"input_ids": inputs, "use_cache": False}
        if self._within:
            arguments["position_ids"] = document_positions(inputs, self._end_of_sequence)
        if self.head is None:
            logits = self.causal(**arguments).logits
            mean, losses = materialised_cross_entropy(logits.flatten(0, 1), labels.flatten())
        else:
            hidden = self.causal.base_model(**arguments).last_hidden_state
            mean, losses = self.head(hidden.flatten(0, 1), labels.flatten())
        return mean, losses.view(labels.shape)

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """For passes of any length: each would be a program of its own, and past torch's limit of programs
        what trains would go uncompiled too, and round otherwise."""
        config = self.causal.config
        attention = config._attn_implementation
        if attention == "flex_attention":  # transformers compiles it, whatever `compile` says
            config._attn_implementation = "sdpa"
        try:
            with torch.compiler.set_stance("force_eager"):
                yield
        finally:
            config._attn_implementation = attention


class _Head(nn.Module):
    """The output embeddings once more, as a module of their own: under ZeRO 3 a module's parameters are
    gathered when it is called."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, hidden: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return linear_cross_entropy(hidden, self.weight, labels)


def document_positions(inputs: torch.Tensor, end_of_sequence: int) -> torch.Tensor:
    """Position of each token within its document, as packing.positions: 0 after each end of sequence.

    Positions that start again are how transformers knows the borders that attention may not cross.
    """
    index = torch.arange(inputs.shape[1], device=inputs.device).expand_as(inputs)
    begins = torch.zeros_like(inputs)
    begins[:, 1:] = torch.where(inputs[:, :-1] == end_of_sequence, index[:, 1:], 0)
    return index - begins.cummax(dim=1).values


def parameter_names(objective: NextTokenLoss) -> list[tuple[str, nn.Parameter]]:
    """Every parameter once, by the name it has in the HF model."""
    return list(objective.causal.named_parameters())
