"""The training objective around an HF causal model: the loss of every next token."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy


class NextTokenLoss(nn.Module):
    """Cross entropy of predicting tokens[:, 1:] from tokens[:, :-1], in fp32."""

    def __init__(self, model: Any, end_of_sequence: int) -> None:
        super().__init__()
        self.causal = model
        self.end_of_sequence = end_of_sequence

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """tokens: (sequences, context + 1). Returns the mean loss, and (detached) that of every label."""
        logits = self.causal(input_ids=tokens[:, :-1], use_cache=False).logits
        labels = tokens[:, 1:]
        losses = cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none")
        return losses.mean(), losses.detach().view(labels.shape)


def parameter_names(objective: NextTokenLoss) -> list[tuple[str, nn.Parameter]]:
    """Every parameter once, by the name it has in the HF model."""
    return list(objective.causal.named_parameters())
